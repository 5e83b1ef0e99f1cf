"""Policies and servers of policies, for tests."""

from pathlib import Path

import numpy as np

from sim_core.arena.game import Arena
from sim_core.training.network import Network, Shape
from sim_core.training.onnx_file import encode_policy
from tests.support.server import publish

CONFIG = "max_batch_size: 64\nversions: all\n"
SHAPE = Shape(Arena.observation_size, 8, len(Arena.actions))


def any_network(seed: int, shape: Shape = SHAPE) -> Network:
    """One that was never trained: it does this and that."""
    flat = np.random.default_rng(seed).standard_normal(shape.parameters) * 0.5
    return Network.unpacked(shape, flat)


def publish_policy(repository: Path, model: str, version: int, network: Network) -> None:
    publish(repository, model, version, encode_policy(network, doc="A test's."), CONFIG)
