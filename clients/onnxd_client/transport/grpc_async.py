"""gRPC, awaiting."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from onnxd_client.address import Address
from onnxd_client.errors import ServerError
from onnxd_client.grpc_codec import METHODS, GrpcRequest, ends_request
from onnxd_client.plan import Attempt
from onnxd_client.transport import grpc_setup
from onnxd_client.transport.grpc_first_status import FirstStatus
from onnxd_protos.grpc_service_pb2 import ModelStreamInferResponse


class AsyncGrpcTransport:
    """One multiplexed connection to one server, for one event loop."""

    def __init__(self, address: Address, *, ca_file: str | None) -> None:
        self._address = address
        self._ca_file = ca_file
        self._open: grpc.aio.Channel | None = None
        self._unary: dict[str, Callable[..., Any]] = {}

    def _channel(self) -> grpc.aio.Channel:
        # On first use, not in the constructor: a channel belongs to the event loop it is made in.
        if self._open is None:
            options = grpc_setup.options(self._address)
            self._open = (
                grpc.aio.secure_channel(
                    self._address.authority, grpc_setup.credentials(self._ca_file), options
                )
                if self._address.secure
                else grpc.aio.insecure_channel(self._address.authority, options)
            )
            self._unary = {
                method.path: self._open.unary_unary(
                    method.path, method.request.SerializeToString, method.response.FromString
                )
                for method in METHODS.values()
                if not method.server_streaming
            }
        return self._open

    async def send(self, attempt: Attempt[GrpcRequest]) -> Any:
        """The reply's message, of the method's own class; raises a ServerError for any code but OK."""
        self._channel()
        try:
            return await self._unary[attempt.request.method.path](
                attempt.request.message,
                timeout=grpc_setup.timeout(attempt.timeout),
                metadata=grpc_setup.metadata(attempt.headers),
            )
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from error

    async def stream(
        self,
        requests: AsyncGenerator[Message, None],
        headers: Mapping[str, str],
        timeout: float,
        in_flight: int,
    ) -> AsyncGenerator[ModelStreamInferResponse, None]:
        """Every answer of one ModelStreamInfer call. `requests` is read by a task of gRPC's.

        At most `in_flight` requests are unanswered at a time. What `requests` raises is raised here, after
        the answers to what was sent before. Leaving the iterator early cancels the call.
        """
        method = METHODS["ModelStreamInfer"]
        outbox = _Outbox(requests, in_flight)
        call = self._channel().stream_stream(
            method.path, method.request.SerializeToString, ModelStreamInferResponse.FromString
        )(
            outbox.messages(),
            timeout=grpc_setup.timeout(timeout),
            metadata=grpc_setup.metadata({**grpc_setup.STREAM_HEADERS, **headers}),
        )
        status = FirstStatus(call)
        try:
            async for reply in call:
                if ends_request(reply):
                    outbox.answered()
                yield reply
        except grpc.aio.AioRpcError as error:
            ended = await status.get()
            raise grpc_setup.failure(self._address, ended.code, ended.details, ended.trailing) from error
        finally:
            call.cancel()
            await outbox.close()
        if outbox.failure is not None:
            raise outbox.failure

    async def aclose(self) -> None:
        if self._open is not None:
            await self._open.close()

    def _failure(self, error: grpc.aio.AioRpcError) -> ServerError:
        return grpc_setup.failure(self._address, error.code(), error.details(), error.trailing_metadata())


class _Outbox:
    """The requests of a stream, handed out as answers make room."""

    def __init__(self, requests: AsyncGenerator[Message, None], in_flight: int) -> None:
        self._requests = requests
        self._room = asyncio.Semaphore(in_flight)
        self._reader: asyncio.Task[object] | None = None
        self._closed = False
        self.failure: Exception | None = None

    async def messages(self) -> AsyncIterator[Message]:
        self._reader = asyncio.current_task()
        while not self._closed:
            await self._room.acquire()
            try:
                message = await anext(self._requests)
            except StopAsyncIteration:
                return
            except Exception as error:  # the caller's own code: gRPC would log it and say only "cancelled"
                self.failure = error
                return
            yield message

    def answered(self) -> None:
        self._room.release()

    async def close(self) -> None:
        """Ends the reading of requests, even amid one: after an error gRPC leaves its task behind."""
        self._closed = True
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        await self._requests.aclose()
