"""Requests of different size, as the scheduler has them, and a real session that runs when it is told to."""

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from onnxd.messages import InferRequest
from onnxd.repository.config_file import parse_model_config
from onnxd.repository.model_spec import merge
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.scheduler.item import Item
from onnxd.tensors import Array, ModelSpec
from tests.support.virtual_time import Outcome


@cache
def _nobodys() -> asyncio.Future[Mapping[str, Array]]:
    loop = asyncio.new_event_loop()
    try:
        return loop.create_future()
    finally:
        loop.close()


def item(**inputs: Array) -> Item:
    """One that is taken from a queue; its rows are those of its first input."""
    rows = len(next(iter(inputs.values())))
    return Item(InferRequest("m", inputs), rows, (), (), 0.0, _nobodys())


def numbers(*shape: int, start: int = 1) -> Array:
    """INT64, each element another."""
    return np.arange(start, start + int(np.prod(shape)), dtype=np.int64).reshape(shape)


def opened(directory: Path, graph: bytes) -> OnnxSession:
    """A session over a model's bytes."""
    file = directory / "model.onnx"
    file.write_bytes(graph)
    return OnnxSession.open(file, SessionConfig(), 1)


def spec_of(session: OnnxSession, config: str) -> ModelSpec:
    """What a config.yaml makes of a graph."""
    return merge("m", 1, parse_model_config(config.encode()), session.graph)


class HeldSession:
    """Obeys onnxd.scheduler.runner.Runner: a real session, whose runs happen when the test says so."""

    def __init__(self, session: OnnxSession) -> None:
        self.session = session
        self.runs: list[Mapping[str, Array]] = []
        """The inputs of all runs so far."""
        self._ends: list[Callable[[], None]] = []

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[Outcome], None]
    ) -> None:
        self.runs.append(inputs)
        self._ends.append(lambda: done(Outcome(self.session.run(inputs, outputs))))

    def release(self) -> None:
        """Run what was started, and answer."""
        self._ends.pop(0)()

    def terminate(self) -> None:
        return None
