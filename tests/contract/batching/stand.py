"""Models that are kept busy or held back, and tritonclient to ask them."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from onnxd.messages import InferRequest
from onnxd.scheduler.batcher import Batcher
from onnxd.tensors import Array
from tests.support import graphs, row_graphs
from tests.support.server import RunningServer, publish
from tests.support.until import until

FOR_EVER: Final = 10**12
LONG: Final = "max_queue_delay: 30s"
"""Longer than any of the tests: what is sent is sent for another reason."""
AT_ONCE: Final = ("full", "preferred", "delayed", "shapes")
"""The models that have no `steps`."""

CONFIGS: Final[Mapping[str, str]] = {
    "full": f"max_batch_size: 8\nbatching: {{{LONG}}}\n",
    "preferred": f"max_batch_size: 8\nbatching: {{{LONG}, preferred_sizes: [2, 4]}}\n",
    "delayed": "max_batch_size: 8\nbatching: {max_queue_delay: 1ms}\n",
    "shapes": f"max_batch_size: 4\nbatching: {{{LONG}}}\n",
    "table": f"max_batch_size: 8\nbatching: {{{LONG}}}\n",
    "quotients": f"max_batch_size: 8\nbatching: {{{LONG}}}\n",
    "busy": "max_batch_size: 8\n",
    "alone": "max_batch_size: 8\nbatching: {dynamic: false}\n",
    "instances": "max_batch_size: 8\ninstances: 2\n",
    "ordered": "max_batch_size: 1\ninstances: 2\nbatching: {preserve_ordering: true}\n",
    "small": "max_batch_size: 8\nbatching: {max_queue_size: 2}\n",
    "hasty": "max_batch_size: 8\nbatching: {default_timeout: 50ms}\n",
    "strict": "max_batch_size: 8\nbatching: {default_timeout: 20s, allow_timeout_override: false}\n",
    "patient": (
        "max_batch_size: 8\nbatching: {dynamic: false, default_timeout: 20s, timeout_action: delay}\n"
    ),
    "levels": "max_batch_size: 8\nbatching: {dynamic: false, priority_levels: 3, default_priority: 2}\n",
    "places": (
        "max_batch_size: 8\nbatching:\n  priority_levels: 3\n  default_priority: 1\n"
        "  priorities:\n    2: {max_queue_size: 1}\n    3: {default_timeout: 50ms}\n"
    ),
    "crowded": (
        "max_batch_size: 8\ninstances: 2\n"
        "batching: {priority_levels: 3, max_queue_size: 400, priorities: {3: {max_queue_size: 50}}}\n"
    ),
}
PBTXT: Final = """
max_batch_size: 1
dynamic_batching {
  priority_levels: 2
  default_priority_level: 2
  priority_queue_policy { key: 1 value { max_queue_size: 1 } }
}
"""
"""The model AS_TRITON."""
AS_TRITON: Final = "as_triton_has_it"


class Client:
    """One of tritonclient's, which are called in the same way."""

    def __init__(self, module: Any, client: Any) -> None:
        self._module = module
        self._client = client

    async def infer(
        self,
        model: str,
        rows: int = 1,
        *,
        value: float = 1.0,
        width: int = 4,
        steps: int = 0,
        **more: Any,
    ) -> Array:
        inputs = {"x": np.full((rows, width), value, np.float32)}
        if model not in AT_ONCE:
            inputs["steps"] = np.full((rows, 1), steps, np.int64)
        return await self.send(model, inputs, **more)

    async def send(self, model: str, inputs: Mapping[str, Array], **more: Any) -> Array:
        tensors = []
        for name, array in inputs.items():
            tensors.append(self._module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype)))
            tensors[-1].set_data_from_numpy(array)
        result = await self._client.infer(model, tensors, **more)
        output: Array = result.as_numpy("y")
        return output

    def deadline(self, milliseconds: int) -> dict[str, Any]:
        """What to say to `infer` for the request to have one."""
        if self._module is http_aio:
            return {"headers": {"x-request-timeout-ms": str(milliseconds)}}
        return {"client_timeout": milliseconds / 1000}

    async def refused(self, model: str, **more: Any) -> str:
        """What is said of a request that the model has no room or no time for."""
        with pytest.raises(InferenceServerException) as caught:
            await self.infer(model, **more)
        assert caught.value.status() in ("503", "StatusCode.UNAVAILABLE")
        return str(caught.value.message())


def batcher_of(server: RunningServer, model: str) -> Batcher:
    return server.server.inference.served(model, None).batcher


class Ran:
    """What a model has run since this was made, but for what failed or was ended."""

    def __init__(self, server: RunningServer, model: str) -> None:
        self._batcher = batcher_of(server, model)
        self._since_ns = time.monotonic_ns()

    @property
    def batches(self) -> list[tuple[int, str]]:
        """The rows of each, and why it was cut there."""
        return [
            (batch.rows, batch.cut)
            for batch in self._batcher.last_batches()
            if batch.ended_ns > self._since_ns and not batch.failed
        ]


class Busy:
    """A model, each of whose instances runs something that does not end before `let_go`."""

    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self._held: list[asyncio.Future[Any]] = []

    async def hold(self, model: str) -> None:
        inputs = {"x": np.zeros((1, 4), np.float32), "steps": np.full((1, 1), FOR_EVER)}
        self._held.append(asyncio.ensure_future(self.batcher.submit(InferRequest(model, inputs), 1, ("y",))))
        await until(lambda: self.batcher.running == len(self._held))

    async def send(
        self, group: asyncio.TaskGroup, request: Coroutine[Any, Any, Array]
    ) -> asyncio.Task[Array]:
        """One more request, which waits when this returns."""
        before = self.batcher.waiting_requests
        task = group.create_task(request)
        await self.waiting(before + 1)
        return task

    async def waiting(self, requests: int) -> None:
        await until(lambda: self.batcher.waiting_requests == requests)

    async def let_go(self) -> None:
        """The callers leave, and so what runs is ended."""
        for each in self._held:
            each.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)


@asynccontextmanager
async def busy(server: RunningServer, model: str, instances: int = 1) -> AsyncIterator[Busy]:
    holding = Busy(batcher_of(server, model))
    try:
        for _ in range(instances):
            await holding.hold(model)
        yield holding
    finally:
        await holding.let_go()


def fill(models: Path) -> None:
    """Put the models there, and one more whose config is in Triton's form."""
    for model, config in CONFIGS.items():
        publish(models, model, 1, _graph(model), config)
    publish(models, AS_TRITON, 1, row_graphs.slow_rows(400))
    (models / AS_TRITON / "config.pbtxt").write_text(PBTXT)


def _graph(model: str) -> bytes:
    match model:
        case "shapes":
            return graphs.add_one(("batch", "n"))
        case "table":
            return row_graphs.table_rows()
        case "quotients":
            return row_graphs.quotient_rows()
        case _ if model in AT_ONCE:
            return graphs.add_one()
        case _:
            return row_graphs.slow_rows(400)
