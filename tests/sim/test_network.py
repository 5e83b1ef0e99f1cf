"""Policies are exact: what NumPy computes is what ONNX Runtime computes, whatever the batch."""

import numpy as np
import onnxruntime as ort
import pytest

from sim_core.arena.game import Arena
from sim_core.policies.choice import choose
from sim_core.training.network import Network, Shape
from sim_core.training.onnx_file import encode_policy
from tests.sim.policies import any_network

SHAPES = (Shape(Arena.observation_size, 0, 8), Shape(Arena.observation_size, 16, 8))


def observations(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    game = Arena()
    state = game.start(5, np.arange(rows // 8, dtype=np.int32))
    for _ in range(12):
        state, _ = game.step(state, np.random.default_rng(1).integers(0, 8, state.x.shape).astype(np.int32))
    return game.observe(state).reshape(rows, -1)


@pytest.mark.parametrize("shape", SHAPES, ids=["linear", "with a hidden layer"])
def test_onnx_runtime_gives_the_same_bits_for_any_batch(shape: Shape) -> None:
    network, seen = any_network(3, shape), observations(64)
    session = ort.InferenceSession(encode_policy(network, doc="A test's."))

    expected = network.scores(seen)
    for size in (1, 7, 64):
        for begin in range(0, 64, size):
            rows = seen[begin : begin + size]
            scores, weights = session.run(["scores", "weights"], {"observation": rows})
            assert np.array_equal(scores, expected[begin : begin + size])
            assert weights.tolist() == [[network.fingerprint()]] * len(rows)


def test_the_worst_sums_are_exact_too() -> None:
    shape = SHAPES[1]
    signs = np.where(np.random.default_rng(2).random(shape.parameters) < 0.5, 1, -1)
    network = Network.unpacked(shape, signs * (4 - 1 / 256))
    seen = np.ones((1, shape.inputs), np.float32)
    seen[:, ::3] = 63 / 64

    wide = Network(*(each.astype(np.float64) for each in (network.direct, network.into, network.out)))  # type: ignore[arg-type]
    exact = (
        seen.astype(np.float64) @ wide.direct
        + np.clip(np.rint(seen.astype(np.float64) @ wide.into * 64) / 64, 0, 4) @ wide.out
    )
    assert np.array_equal(network.scores(seen), exact)


def test_of_equal_scores_the_first_action_is_taken_and_no_number_never() -> None:
    nan = np.float32("nan")
    scores = np.array([[1, 2, 2], [0.5, 0.5002, 0.1], [nan, -1, nan], [nan, nan, nan]], np.float32)

    assert choose(scores).tolist() == [1, 0, 1, 0]
    assert choose(np.array([-np.inf, 3e38, np.inf], np.float32)).tolist() == 2


def test_a_fingerprint_tells_weights_apart() -> None:
    assert any_network(1).fingerprint() == any_network(1).fingerprint()
    assert any_network(1).fingerprint() != any_network(2).fingerprint()
