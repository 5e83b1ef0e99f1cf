"""Policies and servers of policies, for tests."""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from sim_core.arena.game import Arena
from sim_core.policies.choice import choose
from sim_core.policies.policy import Answer, Question
from sim_core.replays.documents import PolicyEntry
from sim_core.training.network import Network, Shape
from sim_core.training.onnx_file import encode_policy
from tests.support.server import SHIPPED, publish

CONFIG = "max_batch_size: 64\nversions: all\n"
SHAPE = Shape(Arena.observation_size, 8, len(Arena.actions))


def any_network(seed: int, shape: Shape = SHAPE) -> Network:
    """One that was never trained: it does this and that."""
    flat = np.random.default_rng(seed).standard_normal(shape.parameters) * 0.5
    return Network.unpacked(shape, flat)


def publish_policy(repository: Path, model: str, version: int, network: Network) -> None:
    publish(repository, model, version, encode_policy(network, doc="A test's."), CONFIG)


def shipped_network(model: str, version: int) -> Network:
    """The weights of a policy in `model_repository/`."""
    graph = onnx.load(SHIPPED / model / str(version) / "model.onnx").graph
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    direct = stored["direct"]
    inputs, outputs = direct.shape
    none = np.zeros((inputs, 0), np.float32), np.zeros((0, outputs), np.float32)
    return Network(direct, stored.get("into", none[0]), stored.get("out", none[1]))


class NetworkPolicy:
    """A network without a server: it decides as the served one does, bit for bit."""

    def __init__(self, network: Network) -> None:
        self.entry = PolicyEntry("network", "served")
        self._network = network

    async def decide(self, question: Question) -> Answer:
        return Answer.local(choose(self._network.scores(question.observations)))
