"""The examination of a session and its file."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from onnxd.runtime.independence import examine
from onnxd.runtime.made_up import RowInput
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.row_inquiry import RowQuestion, question_to_json
from onnxd.runtime.row_verdict import Outcome, Verdict, verdict_from_json, verdict_to_json
from onnxd.runtime.session_config import SessionConfig
from onnxd.tensors import Array
from tests.support import graphs
from tests.support.counterexamples import COUNTEREXAMPLES
from tests.support.independent import FOLDED, INDEPENDENT, PROBED


def opened(folder: Path, graph: bytes) -> tuple[OnnxSession, Path]:
    path = folder / "model.onnx"
    path.write_bytes(graph)
    return OnnxSession.open(path, SessionConfig(), 1), path


def question_about(session: OnnxSession) -> RowQuestion:
    return RowQuestion(
        inputs=tuple(
            RowInput(tensor.name, tensor.datatype, tensor.shape[1:], tensor.dim_names[1:])
            for tensor in session.graph.inputs
        ),
        outputs={tensor.name: tensor.datatype for tensor in session.graph.outputs},
        max_rows=32,
    )


def verdict_on(folder: Path, graph: bytes) -> Verdict:
    session, path = opened(folder, graph)
    return verdict_from_json(examine(session, path, question_to_json(question_about(session))))


@pytest.mark.parametrize("name", COUNTEREXAMPLES)
def test_every_counterexample_is_refused(name: str, tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, COUNTEREXAMPLES[name]())
    assert not verdict.proven
    assert verdict.reason


@pytest.mark.parametrize("name", INDEPENDENT)
def test_what_its_nodes_prove_is_not_run(name: str, tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, INDEPENDENT[name]())
    assert verdict == Verdict(Outcome.PROVEN, "graph")
    assert str(verdict) == "rows are independent: every node works row by row"


def test_what_only_a_run_shows_is_proven_by_it(tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, PROBED[FOLDED]())
    assert (verdict.outcome, verdict.by) == (Outcome.PROVEN, "probe")
    assert (verdict.rows, verdict.compositions) == (1890, 144)
    assert "in 1890 rows of 144 batches" in str(verdict)


def test_a_refutation_has_its_evidence_and_the_node(tmp_path: Path) -> None:
    verdict = verdict_on(tmp_path, graphs.minus_batch_mean())
    assert verdict.outcome is Outcome.REFUTED
    assert str(verdict) == (
        "rows are not independent: row 0 of output 'y' in a batch of 2 differs by 1 of its size from what it "
        "is alone (node 'number 0' (ReduceMean) reduces along the rows)"
    )


def test_a_node_across_the_rows_is_not_made_good_by_a_run_that_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxd.runtime.probe.MANNERS", 1)  # features alone, which never reach the limit
    verdict = verdict_on(tmp_path, COUNTEREXAMPLES["a branch for batches with a large number"]())
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.reason.startswith(
        "node 'number 0' (ReduceMax) reduces along the rows, though no difference"
    )


def test_a_file_that_is_no_graph_to_read_is_run(tmp_path: Path) -> None:
    session, path = opened(tmp_path, graphs.mlp())
    path.write_bytes(b"\xff\xff\xff")
    verdict = verdict_from_json(examine(session, path, question_to_json(question_about(session))))
    assert (verdict.outcome, verdict.by) == (Outcome.PROVEN, "probe")


def test_running_out_of_memory_is_no_fault_of_the_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, path = opened(tmp_path, PROBED[FOLDED]())

    def run(inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> dict[str, Array]:
        raise MemoryError

    monkeypatch.setattr(session, "run", run)
    verdict = verdict_from_json(examine(session, path, question_to_json(question_about(session))))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNDECIDED, "memory ran short in the probe")


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(Outcome.PROVEN, "graph"),
        Verdict(Outcome.REFUTED, "probe", 7, 3, 1e-9, "because"),
        Verdict(Outcome.UNDECIDED, reason="nobody knows"),
    ],
)
def test_a_verdict_survives_as_json(verdict: Verdict) -> None:
    assert verdict_from_json(verdict_to_json(verdict)) == verdict


def test_a_reason_forges_no_line_and_is_no_book() -> None:
    names = Verdict(Outcome.REFUTED, reason="output 'a\nb' " + "x" * 5000)
    reason = verdict_from_json(verdict_to_json(names)).reason
    assert reason.startswith(r"output 'a\nb' ")
    assert len(reason) < 1100


@pytest.mark.parametrize("change", [{"outcome": "maybe"}, {"by": "faith"}, {"rows": "many"}, {"worst": None}])
def test_anything_else_is_no_verdict(change: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        verdict_from_json({**verdict_to_json(Verdict(Outcome.PROVEN)), **change})
    with pytest.raises((KeyError, TypeError, ValueError)):
        verdict_from_json({})
