"""What perf_analyzer's clients send, and of the answers what they read.

They do not look whether a field is there, so neither do these: what is missing, or is a text where they
expect a number, fails here as it would abort a measurement there.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, Protocol

import grpc.aio
import numpy as np
from google.protobuf.json_format import MessageToDict

from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import GrpcCalls, grpc_calls
from tests.support.raw_http import Answer, RawConnection, connect, request_bytes
from tests.support.server import RunningServer

MODEL: Final = "sums"
CONCURRENCY: Final = 16
DURATIONS: Final = (
    "success", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
)  # fmt: skip
Document = Mapping[str, Any]
Tensor = tuple[str, str, tuple[int, ...]]
"""Name, datatype, and shape."""


class Analyzer(Protocol):
    """What perf_analyzer asks, by one of its clients. Every answer is as that client hands it on."""

    async def metadata(self, model: str) -> Document: ...

    async def config(self, model: str) -> Document: ...

    async def extensions(self) -> Sequence[str]: ...

    async def statistics(self, model: str) -> Sequence[Document]: ...

    async def send(self, worker: int, number: int, inputs: Sequence[Tensor], outputs: Sequence[str]) -> None:
        """One request on the worker's own connection or stream, checked as the client checks the answer."""


# Over HTTP, as its client over libcurl does.


class OverHttp:
    def __init__(self, connections: Sequence[RawConnection], *, binary: bool) -> None:
        self._connections = connections
        self._binary = binary

    async def metadata(self, model: str) -> Document:
        return self._document(await self._get(f"/v2/models/{model}"))

    async def config(self, model: str) -> Document:
        return self._document(await self._get(f"/v2/models/{model}/config"))

    async def extensions(self) -> Sequence[str]:
        extensions = self._document(await self._get("/v2"))["extensions"]
        assert isinstance(extensions, list)
        return extensions

    async def statistics(self, model: str) -> Sequence[Document]:
        statistics = self._document(await self._get(f"/v2/models/{model}/stats"))["model_stats"]
        assert isinstance(statistics, list)
        return statistics

    async def send(self, worker: int, number: int, inputs: Sequence[Tensor], outputs: Sequence[str]) -> None:
        body, length = self._body(number, inputs, outputs)
        answer = await self._ask(
            worker,
            request_bytes(
                "POST",
                f"/v2/models/{MODEL}/infer",
                body,
                {
                    "Content-Type": "application/octet-stream" if self._binary else "application/json",
                    "Inference-Header-Content-Length": str(length),
                },
            ),
        )
        if not self._binary:
            document = self._document(answer)
        else:
            json_length = int(answer.headers["inference-header-content-length"])
            document = json.loads(answer.body[:json_length])
            sizes = [output["parameters"]["binary_data_size"] for output in document["outputs"]]
            assert json_length + sum(sizes) == int(answer.headers["content-length"])
        assert document["id"] == str(number)
        assert document["model_name"] == MODEL
        assert [output["name"] for output in document["outputs"]] == list(outputs)
        for output in document["outputs"]:
            assert isinstance(output["datatype"], str)
            assert all(type(size) is int for size in output["shape"])
            # Parameters without a size make its client give up, so JSON outputs must have none.
            assert ("parameters" in output) == self._binary

    def _body(self, number: int, inputs: Sequence[Tensor], outputs: Sequence[str]) -> tuple[bytes, int]:
        """The body, and how much of it is JSON: that it says even if all of it is."""
        tails: list[bytes] = []
        tensors: list[Document] = []
        for name, datatype, shape in inputs:
            array = np.ones(shape, np.float32)
            described: dict[str, Any] = {"name": name, "datatype": datatype, "shape": list(shape)}
            if self._binary:
                tails.append(array.tobytes())
                described["parameters"] = {"binary_data_size": array.nbytes}
            else:
                described["data"] = array.ravel().tolist()
            tensors.append(described)
        wanted = [{"name": name, "parameters": {"binary_data": self._binary}} for name in outputs]
        head = json.dumps({"id": str(number), "inputs": tensors, "outputs": wanted}).encode()
        return b"".join([head, *tails]), len(head)

    async def _get(self, path: str) -> Answer:
        return await self._ask(0, request_bytes("GET", path))

    async def _ask(self, worker: int, request: bytes) -> Answer:
        """On a connection that is never opened again: the server must have kept it."""
        connection = self._connections[worker]
        await connection.send(request)
        answer = await connection.answer()
        assert answer.status == 200, answer.body
        assert not answer.closes
        return answer

    @staticmethod
    def _document(answer: Answer) -> Document:
        document = answer.json()
        assert isinstance(document, Mapping)
        return document


@asynccontextmanager
async def over_http(server: RunningServer, *, binary: bool) -> AsyncIterator[Analyzer]:
    async with AsyncExitStack() as resources:
        port = server.server.http.port
        connections = [await resources.enter_async_context(connect(port)) for _ in range(CONCURRENCY)]
        yield OverHttp(connections, binary=binary)


# Over gRPC: the messages, and of them the fields that it reads.


class OverGrpc:
    def __init__(self, calls: GrpcCalls) -> None:
        self._calls = calls

    async def metadata(self, model: str) -> Document:
        answer = await self._calls.ask("ModelMetadata", pb.ModelMetadataRequest(name=model))
        return self._document(answer)

    async def config(self, model: str) -> Document:
        answer = await self._calls.ask("ModelConfig", pb.ModelConfigRequest(name=model))
        return self._document(answer.config)

    async def extensions(self) -> Sequence[str]:
        return list((await self._calls.ask("ServerMetadata", pb.ServerMetadataRequest())).extensions)

    async def statistics(self, model: str) -> Sequence[Document]:
        answer = await self._calls.ask("ModelStatistics", pb.ModelStatisticsRequest(name=model))
        return [
            {
                "name": each.name,
                "version": each.version,
                "inference_count": each.inference_count,
                "execution_count": each.execution_count,
                "inference_stats": {
                    stage: {"count": duration.count, "ns": duration.ns}
                    for stage in DURATIONS
                    for duration in (getattr(each.inference_stats, stage),)
                },
            }
            for each in answer.model_stats
        ]

    async def send(self, worker: int, number: int, inputs: Sequence[Tensor], outputs: Sequence[str]) -> None:
        self._check(
            await self._calls.ask("ModelInfer", self._message(number, inputs, outputs)), number, outputs
        )

    @staticmethod
    def _message(number: int, inputs: Sequence[Tensor], outputs: Sequence[str]) -> pb.ModelInferRequest:
        message = pb.ModelInferRequest(model_name=MODEL, id=str(number))
        message.parameters["triton_enable_empty_final_response"].bool_param = False
        for name, datatype, shape in inputs:
            message.inputs.add(name=name, datatype=datatype, shape=shape)
            message.raw_input_contents.append(np.ones(shape, np.float32).tobytes())
        for name in outputs:
            message.outputs.add(name=name)
        return message

    @staticmethod
    def _check(answer: pb.ModelInferResponse, number: int, outputs: Sequence[str]) -> None:
        assert answer.id == str(number)
        assert [output.name for output in answer.outputs] == list(outputs)
        for at, output in enumerate(answer.outputs):
            # By index and without a look at how many there are.
            assert len(answer.raw_output_contents[at]) == 4 * np.prod(output.shape)

    @staticmethod
    def _document(message: Any) -> Document:
        document = MessageToDict(
            message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        assert isinstance(document, Mapping)
        return document


class OverStreams(OverGrpc):
    """With --streaming: the requests of each worker on a stream of its own."""

    def __init__(self, calls: GrpcCalls) -> None:
        super().__init__(calls)
        self._streams = [calls.stream() for _ in range(CONCURRENCY)]

    async def send(self, worker: int, number: int, inputs: Sequence[Tensor], outputs: Sequence[str]) -> None:
        stream = self._streams[worker]
        await stream.write(self._message(number, inputs, outputs))
        answer = await stream.read()
        assert not answer.error_message
        assert answer.infer_response.parameters["triton_final_response"].bool_param
        self._check(answer.infer_response, number, outputs)

    async def end(self) -> None:
        for stream in self._streams:
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF


@asynccontextmanager
async def over_grpc(server: RunningServer) -> AsyncIterator[Analyzer]:
    async with grpc_calls(server.grpc) as calls:
        yield OverGrpc(calls)


@asynccontextmanager
async def over_streams(server: RunningServer) -> AsyncIterator[Analyzer]:
    async with grpc_calls(server.grpc) as calls:
        analyzer = OverStreams(calls)
        yield analyzer
        await analyzer.end()


Connect = Callable[[RunningServer], AbstractAsyncContextManager[Analyzer]]

CLIENTS: Final[dict[str, Connect]] = {
    "HTTP": lambda server: over_http(server, binary=True),
    "HTTP-in-JSON": lambda server: over_http(server, binary=False),
    "gRPC": over_grpc,
    "gRPC-streaming": over_streams,
}
