"""What made-up rows show of a model, alone and in company. The sessions are real where one is needed."""

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import ExecutionFailed, ModelUnavailable
from onnxd.runtime.made_up import RowInput
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.probe import Findings, Probe
from onnxd.runtime.session_config import SessionConfig
from onnxd.tensors import Array, Datatype
from tests.support import graphs
from tests.support.counterexamples import COUNTEREXAMPLES
from tests.support.independent import INDEPENDENT, PROBED, tokens

X = (RowInput("x", Datatype.FP32, (4,)),)
UNSEEN = frozenset({"the same for each row"})


def plenty() -> float:
    return 100.0


def findings_of(graph: bytes, folder: Path, *, max_rows: int = 8, bound: int | None = None) -> Findings:
    """Without any help from the graph's nodes."""
    path = folder / "model.onnx"
    path.write_bytes(graph)
    session = OnnxSession.open(path, SessionConfig(), 1)
    inputs = [
        RowInput(tensor.name, tensor.datatype, tensor.shape[1:], tensor.dim_names[1:], bound)
        for tensor in session.graph.inputs
    ]
    outputs = {tensor.name: tensor.datatype for tensor in session.graph.outputs}
    return Probe(session.run, inputs, outputs, max_rows=max_rows, budget=plenty).run()


def findings(
    model: Callable[[Array], Array],
    *,
    max_rows: int = 8,
    budget: Callable[[], float] = plenty,
    datatype: Datatype = Datatype.FP32,
) -> Findings:
    """Of a function from x [rows, 4] to y."""

    def run(inputs: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
        return {"y": model(inputs["x"])}

    return Probe(run, X, {"y": datatype}, max_rows=max_rows, budget=budget).run()


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_no_counterexample_gets_past_it(name: str, tmp_path: Path) -> None:
    found = findings_of(COUNTEREXAMPLES[name](), tmp_path)
    assert found.influence or found.doubt


@pytest.mark.parametrize("name", sorted({*INDEPENDENT, *PROBED} - UNSEEN))
def test_independent_rows_are_seen_to_be(name: str, tmp_path: Path) -> None:
    found = findings_of({**INDEPENDENT, **PROBED}[name](), tmp_path)
    assert (found.influence, found.doubt) == ("", "")
    assert found.worst < 1e-4
    assert found.compositions > 50


def test_the_evidence_says_which_row_of_which_output_by_how_much_in_how_large_a_batch(tmp_path: Path) -> None:
    found = findings_of(graphs.minus_batch_mean(), tmp_path)
    assert found.influence == (
        "row 0 of output 'y' in a batch of 2 differs by 1 of its size from what it is alone"
    )


def test_the_same_answer_for_all_rows_proves_nothing() -> None:
    assert findings(lambda x: np.ones_like(x)).doubt == "output 'y' was the same for all rows that were tried"
    assert findings(lambda x: np.full_like(x, np.nan)).doubt.startswith("output 'y' was the same")


def test_finite_answers_beside_those_that_are_not_are_compared() -> None:
    def half_nan(x: Array) -> Array:
        return np.where(np.arange(4) < 2, np.nan, x)

    assert findings(half_nan).doubt == ""
    assert findings(lambda x: half_nan(x - x.mean(axis=0, keepdims=True))).influence


def test_an_influence_much_smaller_than_rounding_between_sizes_is_seen_between_neighbours() -> None:
    found = findings(lambda x: x * np.float32(1 + 1e-4 * np.tanh(x).mean()))
    assert "when the rows beside it are exchanged" in found.influence


def test_rounding_that_depends_on_the_number_of_rows_is_no_influence() -> None:
    found = findings(lambda x: x * np.float32(1 + 1e-5 * len(x)))
    assert (found.influence, found.doubt) == ("", "")
    assert found.worst == pytest.approx(7e-5, rel=0.1)


def test_one_row_may_be_rounded_more_coarsely_when_all_batches_agree() -> None:
    found = findings(lambda x: x * np.float32(1.02 if len(x) == 1 else 1.0))
    assert (found.influence, found.doubt) == ("", "")
    assert findings(lambda x: x * np.float32(1.1 if len(x) == 1 else 1.0)).influence


def test_an_answer_that_is_another_each_time_proves_nothing() -> None:
    noise = itertools.count()
    assert findings(lambda x: x + np.float32(next(noise))).doubt == (
        "output 'y' is another each time for the same row"
    )


def test_a_batch_that_fails_where_its_rows_do_not_is_evidence() -> None:
    def at_most_two(x: Array) -> Array:
        if len(x) > 2:
            raise ExecutionFailed("too many")
        return x

    found = findings(at_most_two)
    assert found.influence == "a batch of 3 rows fails where each of them alone does not: too many"


def test_a_batch_for_which_memory_is_short_is_none() -> None:
    def small_memory(x: Array) -> Array:
        if len(x) > 5:
            raise ModelUnavailable("no memory")
        return x

    found = findings(small_memory)
    assert (found.influence, found.doubt) == ("", "")


def test_rows_that_the_model_does_not_take_are_left_out() -> None:
    def picky(x: Array) -> Array:
        if (x < 0).any():
            raise ExecutionFailed("negative")
        return x

    found = findings(picky)
    assert (found.influence, found.doubt) == ("", "")


def test_a_model_that_takes_nothing_is_not_decided_on() -> None:
    def nothing(x: Array) -> Array:
        raise ExecutionFailed("not this one")

    assert findings(nothing).doubt == "it takes none of the made-up rows: not this one"


def test_small_indices_are_found_by_trying(tmp_path: Path) -> None:
    found = findings_of(tokens(9), tmp_path)
    assert (found.influence, found.doubt) == ("", "")


def test_indices_stay_below_a_known_bound(tmp_path: Path) -> None:
    with_bound = findings_of(tokens(5), tmp_path, bound=5)
    assert with_bound.doubt == ""
    assert with_bound.compositions > findings_of(tokens(5), tmp_path).compositions


def test_a_size_that_the_model_does_not_take_is_followed_by_another() -> None:
    def sixteens(inputs: Mapping[str, Array], names: tuple[str, ...]) -> dict[str, Array]:
        if inputs["x"].shape[1] % 16:
            raise ExecutionFailed("not a multiple of 16")
        return {"y": inputs["x"]}

    inputs = (RowInput("x", Datatype.FP32, (-1, -1)),)
    found = Probe(sixteens, inputs, {"y": Datatype.FP32}, max_rows=4, budget=plenty).run()
    assert (found.influence, found.doubt) == ("", "")


def test_a_rare_tie_that_rounding_decides_is_no_influence() -> None:
    def best(x: Array) -> Array:
        classes: Array = np.argmax(x, axis=1)
        if len(x) == 3:
            classes[0] = (classes[0] + (x[0, 0] > 200)) % 4  # one made-up row in some hundreds
        return classes

    assert findings(best, datatype=Datatype.INT64).influence == ""
    other = findings(lambda x: np.argmax(x, axis=1) + len(x), datatype=Datatype.INT64)
    assert "differ between a row alone and in a batch" in other.influence


def test_no_batch_is_larger_than_the_model_is_to_take() -> None:
    sizes = set()

    def seen(x: Array) -> Array:
        sizes.add(len(x))
        return x

    assert findings(seen, max_rows=2).doubt == ""
    assert sizes == {1, 2}
    findings(seen, max_rows=1_000_000)
    assert sizes == {1, 2, 3, 5, 128}


def test_a_slow_model_is_compared_less_often_and_a_very_slow_one_not_decided_on() -> None:
    def limited(calls: int) -> Findings:
        left = itertools.chain([1.0] * calls, itertools.repeat(0.0))
        return findings(lambda x: x, budget=lambda: next(left))

    many, some, few = (limited(calls) for calls in (1000, 20, 1))
    assert many.compositions > some.compositions >= 8
    assert (many.doubt, some.doubt) == ("", "")
    assert few.doubt == "it is too slow: there was time for 0 batches of made-up rows"
