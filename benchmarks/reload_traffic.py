"""Connections of both protocols that ask models which answer with a number, and what they saw."""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

import aiohttp
import grpc
import grpc.aio
import numpy as np

from benchmarks.harness import Running
from benchmarks.payloads import GRPC_METHOD, payload
from onnxd_protos.grpc_service_pb2 import ModelInferRequest, ModelInferResponse

CONNECTIONS: Final = 16
WIDTH: Final = 4
_TIMEOUT_S: Final = 10.0
_AFTER_FAILURE_S: Final = 0.01
_LOOK_S: Final = 0.1

Ask = Callable[[str], Awaitable[float]]
"""Asks a model; the number of the version that answered. Raises for anything but one whole answer."""


@dataclass(slots=True)
class Window:
    """Which versions of a model an answer may come from."""

    oldest: int = 0
    """The newest that has been seen: requests sent from now on must not get an older one."""
    newest: int = 0
    """The last one published."""


@dataclass(slots=True)
class Traffic:
    """What the connections saw, and what they may see."""

    windows: dict[str, Window]
    interval_s: float = 0.0
    """Between two requests of a connection; 0 = the next when the last is answered."""
    answered: int = 0
    stopping: bool = False
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an `oldest` has changed."""
    failures: Counter[str] = field(default_factory=Counter)

    async def seen(self, model: str, number: int, within_s: float) -> None:
        """Wait until a version has answered. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while self.windows[model].oldest < number:
                self.moved.clear()
                await self.moved.wait()

    async def enough(self, requests: int) -> None:
        """Wait until so many have been answered, or one has failed."""
        while self.answered < requests and not self.failures:  # noqa: ASYNC110 -- a look now and then will do
            await asyncio.sleep(_LOOK_S)

    async def halve(self, calibrate_s: float) -> float:
        """From as fast as it goes to half of that. Returns the requests a second from now on."""
        before = self.answered
        await asyncio.sleep(calibrate_s)
        rate = max(1.0, (self.answered - before) / calibrate_s / 2)
        self.interval_s = CONNECTIONS / rate
        return rate


async def repeat(ask: Ask, models: Sequence[str], traffic: Traffic, first: int = 0) -> None:
    """Ask the models in turn, beginning with the one at `first`, until the traffic stops."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    at = first
    while not traffic.stopping:
        if traffic.interval_s:
            # Late by more than one interval, it does not catch up: that would be more than the load.
            due_s = max(due_s + traffic.interval_s, loop.time() - traffic.interval_s)
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        model = models[at % len(models)]
        at += 1
        window = traffic.windows[model]
        oldest = window.oldest
        try:
            number = await ask(model)
        except grpc.aio.AioRpcError as error:
            traffic.failures[f"{error.code().name} {error.details()}"[:200]] += 1
            await asyncio.sleep(_AFTER_FAILURE_S)
            continue
        except Exception as error:  # every kind of failure is what is counted
            traffic.failures[f"{type(error).__name__}: {error}"[:200]] += 1
            await asyncio.sleep(_AFTER_FAILURE_S)
            continue
        traffic.answered += 1
        if not oldest <= number <= window.newest:
            traffic.failures["an answer of a version that was not there"] += 1
        if number > window.oldest:
            window.oldest = int(number)
            traffic.moved.set()


async def number_client(running: Running, at: int, resources: AsyncExitStack) -> Ask:
    """A connection of its own that reads the number in every value of an answer; odd ones speak gRPC."""
    if at % 2:
        asked = payload("grpc", "", WIDTH)
        call = await _grpc_call(running, resources)
        template = ModelInferRequest.FromString(asked.body[5:])

        async def ask_grpc(model: str) -> float:
            template.model_name = model
            answer = await call(template.SerializeToString(), timeout=_TIMEOUT_S)
            return _number(ModelInferResponse.FromString(answer).raw_output_contents[0])

        return ask_grpc
    asked = payload("http binary", "", WIDTH)
    session = await _session(resources)

    async def ask_http(model: str) -> float:
        url = f"http://127.0.0.1:{running.http_port}/v2/models/{model}/infer"
        async with session.post(url, data=asked.body, headers=dict(asked.headers)) as response:
            return _number((await _whole(response))[-4 * WIDTH :])

    return ask_http


async def label_client(running: Running, at: int, resources: AsyncExitStack) -> Ask:
    """Likewise, of models whose graph and labels file both give the number: `value:index:label`."""
    if at % 2:
        call = await _grpc_call(running, resources)
        request = ModelInferRequest(raw_input_contents=[bytes(4)])
        request.inputs.add(name="x", datatype="FP32", shape=(1, 1))
        request.outputs.add(name="y").parameters["classification"].int64_param = 1

        async def ask_grpc(model: str) -> float:
            request.model_name = model
            answer = ModelInferResponse.FromString(
                await call(request.SerializeToString(), timeout=_TIMEOUT_S)
            )
            content = answer.raw_output_contents[0]
            (length,) = struct.unpack_from("<I", content)
            return _of_one_set(content[4 : 4 + length].decode())

        return ask_grpc
    session = await _session(resources)
    body = json.dumps(
        {
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [0.0]}],
            "outputs": [{"name": "y", "parameters": {"classification": 1}}],
        }
    )

    async def ask_http(model: str) -> float:
        url = f"http://127.0.0.1:{running.http_port}/v2/models/{model}/infer"
        async with session.post(url, data=body) as response:
            return _of_one_set(json.loads(await _whole(response))["outputs"][0]["data"][0])

    return ask_http


async def _grpc_call(
    running: Running, resources: AsyncExitStack
) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    options = [("grpc.use_local_subchannel_pool", 1)]
    target = f"127.0.0.1:{running.grpc_port}"
    channel = await resources.enter_async_context(grpc.aio.insecure_channel(target, options))
    return channel.unary_unary(GRPC_METHOD)


async def _session(resources: AsyncExitStack) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=1)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    return await resources.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = await response.read()
    if response.status != 200:
        raise RuntimeError(f"{response.status} {body.decode(errors='replace')}")
    return body


def _number(row: bytes) -> float:
    """The version that answered, which all values give."""
    values = set(np.frombuffer(row, np.float32).tolist())
    if len(values) != 1:
        raise RuntimeError(f"an answer of several versions: {values}")
    return float(values.pop())


def _of_one_set(text: str) -> float:
    value, _, label = text.split(":")
    if float(value) != float(label):
        raise RuntimeError(f"a mixed pair: the graph is of version {float(value):g}, the labels of {label}")
    return float(value)
