"""A server with a model `one`, whose answers are a number that changes with its files."""

import contextlib
import shutil

import numpy as np

from onnxd.errors import ModelUnavailable
from onnxd.messages import InferRequest
from onnxd.repository.catalog import ModelState
from tests.support.graphs import identity, row_constant
from tests.support.server import RunningServer, publish
from tests.support.until import until

BATCHED = "max_batch_size: 8\n"


async def answer(server: RunningServer, version: int | None = None, *, model: str = "one") -> int:
    request = InferRequest(model, {"x": np.zeros((1, 4), np.float32)}, model_version=version)
    response = await server.server.inference.infer(request)
    return int(response.outputs["y"].flat[0])


async def until_answer(server: RunningServer, expected: int) -> None:
    async def answers() -> bool:
        return await answer(server) == expected

    await until(answers)


async def rollback(server: RunningServer) -> None:
    await server.server.lifecycle.rollback("one")


async def reasons(server: RunningServer) -> dict[int | None, tuple[ModelState | None, str]]:
    return {
        entry.version: (entry.state, entry.reason)
        for entry in await server.server.lifecycle.index()
        if entry.name == "one"
    }


async def scanned_again(server: RunningServer) -> None:
    """What lies in the repository now has been looked at: a model that came after it serves."""
    publish(server.repository, "marker", 1, identity())
    await server.ready("marker")
    shutil.rmtree(server.repository / "marker")
    await server.gone("marker")


async def replaced(server: RunningServer) -> None:
    """One has become two under the same version, so that the repository no longer holds one."""
    publish(server.repository, "one", 1, row_constant(2))
    await until_answer(server, 2)
    store = server.server.lifecycle._loader.store
    # What serves is remembered only after it serves.
    await until(lambda: (kept := store.history("one")) is not None and kept.previous is not None)


async def until_served(server: RunningServer, expected: int) -> None:
    """As `until_answer`, of a model that may be unloaded meanwhile."""

    async def answers() -> bool:
        with contextlib.suppress(ModelUnavailable):
            return await answer(server) == expected
        return False

    await until(answers)
