"""Two small servers that speak just enough of the protocol, written from it and not from our codecs."""

import asyncio
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import orjson
from aiohttp import web

from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos.services import GRPC_INFERENCE_SERVICE, SERVICES

METADATA: dict[str, Any] = {
    "name": "digits",
    "versions": ["1", "2"],
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}],
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class HttpServer:
    """What a test sees of the HTTP server: its URL, and every request with the connection it came on."""

    url: str = ""
    requests: list[tuple[str, str, Mapping[str, str], bytes]] = field(default_factory=list)
    connections: set[int] = field(default_factory=set)

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _, _ in self.requests]


@contextmanager
def http_server(*replies: web.Response | Handler) -> Iterator[HttpServer]:
    """Answers each request with the next of `replies`, and like an echo model when there are no more."""
    server = HttpServer()
    script = list(replies)

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert request.transport is not None
        server.connections.add(id(request.transport))
        headers = {name.lower(): value for name, value in request.headers.items()}
        server.requests.append((request.method, request.raw_path, headers, body))
        reply = script.pop(0) if script else http_echo
        return reply if isinstance(reply, web.Response) else await reply(request)

    with _in_thread(_serve_http(handle, server)):
        yield server


async def _serve_http(handle: Handler, server: HttpServer) -> Callable[[], Awaitable[None]]:
    application = web.Application(client_max_size=1 << 30)
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner.cleanup


@contextmanager
def _in_thread(starting: Any) -> Iterator[None]:
    """Runs a server on a loop of its own in a thread: `starting` returns how to stop it."""
    started = threading.Event()
    stopping: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stop = await starting
        asked = asyncio.Event()
        stopping.append((asyncio.get_running_loop(), asked))
        started.set()
        await asked.wait()
        await stop()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert started.wait(10)
    try:
        yield
    finally:
        loop, asked = stopping[0]
        loop.call_soon_threadsafe(asked.set)
        thread.join(10)


async def http_echo(request: web.Request) -> web.Response:
    """Metadata of `digits`, and inference that gives every input back as an output of its name, in binary."""
    if request.method == "GET":
        return web.json_response(METADATA)
    body = await request.read()
    length = int(request.headers.get("Inference-Header-Content-Length", len(body)))
    head, tail = orjson.loads(body[:length]), body[length:]
    outputs, position = [], 0
    for one in head["inputs"]:
        size = one["parameters"]["binary_data_size"]
        outputs.append({**one, "parameters": {"binary_data_size": size}})
        position += size
    assert position == len(tail)
    answer = orjson.dumps(
        {"id": head.get("id", ""), "model_name": "echo", "model_version": "2", "outputs": outputs}
    )
    headers = {"Inference-Header-Content-Length": str(len(answer))} if tail else {}
    return web.Response(body=answer + tail, headers=headers)


def fails(status: int, **headers: str) -> web.Response:
    return web.json_response(
        {"error": f"made to fail with {status}"},
        status=status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )


@dataclass
class GrpcServer:
    """What a test sees of the gRPC server: its URL, and every call with its metadata and time left."""

    url: str = ""
    calls: list[tuple[str, Mapping[str, str | bytes], Any]] = field(default_factory=list)
    peers: set[str] = field(default_factory=set)
    times_left: list[float | None] = field(default_factory=list)

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.calls]


GrpcBehaviour = Callable[[Any, Any], Any]


def until_over(context: Any) -> None:
    """Hold a call's thread until its caller has left or its deadline has passed."""
    over = threading.Event()
    if context.add_callback(over.set):
        over.wait(60)


@contextmanager
def grpc_server(**behaviours: GrpcBehaviour) -> Iterator[GrpcServer]:
    """Serves `behaviours` by method name over an echo model; each takes (request or iterator, context)."""
    server = GrpcServer()
    table: dict[str, GrpcBehaviour] = {
        "ServerLive": lambda _, __: pb.ServerLiveResponse(live=True),
        "ServerReady": lambda _, __: pb.ServerReadyResponse(ready=True),
        "ModelReady": lambda request, _: pb.ModelReadyResponse(ready=request.name == "digits"),
        "ModelMetadata": lambda _, __: pb.ModelMetadataResponse(**METADATA),
        "ModelInfer": lambda request, _: grpc_echo(request),
        "ModelStreamInfer": lambda requests, _: map(grpc_stream_echo, requests),
        **behaviours,
    }

    def recorded(name: str, behaviour: GrpcBehaviour) -> GrpcBehaviour:
        def serve(request: Any, context: Any) -> Any:
            server.calls.append((name, dict(context.invocation_metadata()), request))
            server.peers.add(context.peer())
            server.times_left.append(context.time_remaining())
            return behaviour(request, context)

        return serve

    handlers = {}
    for name, behaviour in table.items():
        method = SERVICES[GRPC_INFERENCE_SERVICE][name]
        make: Any = (
            grpc.stream_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        handlers[name] = make(
            recorded(name, behaviour),
            request_deserializer=method.request.FromString,
            response_serializer=method.response.SerializeToString,
        )
    with ThreadPoolExecutor(8) as pool:
        listener = grpc.server(pool)
        listener.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(GRPC_INFERENCE_SERVICE, handlers),)
        )
        server.url = f"grpc://127.0.0.1:{listener.add_insecure_port('127.0.0.1:0')}"
        listener.start()
        try:
            yield server
        finally:
            listener.stop(None).wait(10)


def grpc_echo(request: pb.ModelInferRequest) -> pb.ModelInferResponse:
    return pb.ModelInferResponse(
        model_name="echo",
        model_version="2",
        id=request.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(name=one.name, datatype=one.datatype, shape=one.shape)
            for one in request.inputs
        ],
        raw_output_contents=request.raw_input_contents,
    )


def grpc_stream_echo(request: pb.ModelInferRequest) -> pb.ModelStreamInferResponse:
    reply = pb.ModelStreamInferResponse(infer_response=grpc_echo(request))
    reply.infer_response.parameters["triton_final_response"].bool_param = True
    return reply


def fails_once(code: grpc.StatusCode, trailing: Sequence[tuple[str, str | bytes]] = ()) -> GrpcBehaviour:
    """An inference that ends with the code the first time, and answers after that."""
    failed: list[bool] = []

    def behave(request: Any, context: Any) -> Any:
        if not failed:
            failed.append(True)
            context.set_trailing_metadata(tuple(trailing))
            context.abort(code, f"made to fail with {code.name}")
        return grpc_echo(request)

    return behave


def packed(*elements: bytes) -> bytes:
    """BYTES as the wire has them."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)
