"""gRPC, blocking."""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import grpc
from google.protobuf.message import Message

from onnxd_client.address import Address
from onnxd_client.errors import ServerError
from onnxd_client.grpc_codec import METHODS, GrpcRequest, ends_request
from onnxd_client.plan import Attempt
from onnxd_client.transport import grpc_setup
from onnxd_protos.grpc_service_pb2 import ModelStreamInferResponse


class GrpcTransport:
    """One multiplexed connection to one server; safe to use from several threads."""

    def __init__(self, address: Address, *, ca_file: str | None) -> None:
        self._address = address
        options = grpc_setup.options(address)
        self._channel = (
            grpc.secure_channel(address.authority, grpc_setup.credentials(ca_file), options)
            if address.secure
            else grpc.insecure_channel(address.authority, options)
        )
        self._unary: dict[str, Callable[..., Any]] = {
            method.path: self._channel.unary_unary(
                method.path, method.request.SerializeToString, method.response.FromString
            )
            for method in METHODS.values()
            if not method.server_streaming
        }

    def send(self, attempt: Attempt[GrpcRequest]) -> Any:
        """The reply's message, of the method's own class; raises a ServerError for any code but OK."""
        try:
            return self._unary[attempt.request.method.path](
                attempt.request.message,
                timeout=grpc_setup.timeout(attempt.timeout),
                metadata=grpc_setup.metadata(attempt.headers),
            )
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def stream(
        self, requests: Iterator[Message], headers: Mapping[str, str], timeout: float, in_flight: int
    ) -> Iterator[ModelStreamInferResponse]:
        """Every answer of one ModelStreamInfer call. `requests` is read by gRPC's own thread.

        At most `in_flight` requests are unanswered at a time. What `requests` raises is raised here, after
        the answers to what was sent before. Leaving the iterator early cancels the call.
        """
        method = METHODS["ModelStreamInfer"]
        outbox = _Outbox(requests, in_flight)
        call = self._channel.stream_stream(
            method.path, method.request.SerializeToString, ModelStreamInferResponse.FromString
        )(
            outbox.messages(),
            timeout=grpc_setup.timeout(timeout),
            metadata=grpc_setup.metadata({**grpc_setup.STREAM_HEADERS, **headers}),
        )
        try:
            for reply in call:
                if ends_request(reply):
                    outbox.answered()
                yield reply
        except grpc.RpcError as error:
            raise self._failure(error) from error
        finally:
            outbox.close()
            call.cancel()
        if outbox.failure is not None:
            raise outbox.failure

    def close(self) -> None:
        self._channel.close()

    def _failure(self, error: grpc.RpcError) -> ServerError:
        call = cast(grpc.Call, error)  # grpc raises nothing else; its types do not say so
        return grpc_setup.failure(self._address, call.code(), call.details(), call.trailing_metadata())


class _Outbox:
    """The requests of a stream, handed out as answers make room."""

    def __init__(self, requests: Iterator[Message], in_flight: int) -> None:
        self._requests = requests
        self._room = threading.Semaphore(in_flight)
        self._closed = False
        self.failure: Exception | None = None

    def messages(self) -> Iterator[Message]:
        while True:
            self._room.acquire()
            if self._closed:
                return
            try:
                message = next(self._requests)
            except StopIteration:
                return
            except Exception as error:  # the caller's own code: gRPC would log it and say only "cancelled"
                self.failure = error
                return
            yield message

    def answered(self) -> None:
        self._room.release()

    def close(self) -> None:
        self._closed = True
        self._room.release()
