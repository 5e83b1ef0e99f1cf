"""How a version's trial decides whether, and how far, it batches. The trials are scripted."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import LoadedConfig, parse_model_config
from onnxd.repository.row_proof import Draft, RowProof, Tried, draft
from onnxd.runtime.examination_names import INDEPENDENCE, Question
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.runtime.row_verdict import Outcome, Verdict, verdict_to_json
from onnxd.runtime.trial_messages import DIED, TrialReport
from onnxd.tensors import Datatype

FP32 = Datatype.FP32
GRAPH = GraphSpec(
    (GraphTensor("x", FP32, (-1, 4), ("batch", None)),), (GraphTensor("y", FP32, (-1, 2), ("batch", None)),)
)
PROVEN = Verdict(Outcome.PROVEN, "graph")
REFUTED = Verdict(Outcome.REFUTED, "probe", 4, 2, reason="row 0 differs")
UNDECIDED = Verdict(Outcome.UNDECIDED, "probe", reason="nothing was seen")


@dataclass(slots=True)
class Memory:
    """Obeys onnxd.repository.row_proof.KnownVerdicts."""

    known: Verdict | None = None
    remembered: list[Verdict] = field(default_factory=list)

    def recall(self, digest: str, question: Question) -> Verdict | None:
        return self.known

    def remember(self, digest: str, question: Question, verdict: Verdict) -> None:
        self.remembered.append(verdict)


@dataclass(slots=True)
class Trial:
    """One version's: `finding` is what an examination of rows finds, `limit` the rows that a run can have."""

    finding: Mapping[str, object] = field(default_factory=lambda: verdict_to_json(PROVEN))
    limit: int = 1_000_000
    memory: Memory = field(default_factory=Memory)
    runs: list[tuple[int, bool]] = field(default_factory=list)
    """For each rehearsal the model's biggest batch, and whether its rows were examined."""

    async def of(self, text: str = "", *, graph: GraphSpec = GRAPH, default_rows: int = 32) -> Tried:
        loaded = parse_model_config(text.encode())
        return await RowProof(
            loaded,
            graph,
            lambda rows: self._drafted(loaded, graph, rows),
            self._rehearse,
            default_rows=default_rows,
            known=self.memory,
            digest="digest",
        ).run()

    @staticmethod
    def _drafted(loaded: LoadedConfig, graph: GraphSpec, rows: int) -> Draft:
        return draft("m", 1, loaded, graph, {}, rows)

    async def _rehearse(self, drafted: Draft, asked: Mapping[str, Question]) -> TrialReport:
        rows = drafted.spec.max_batch_size
        self.runs.append((rows, INDEPENDENCE in asked))
        if rows > self.limit:
            raise LoadFailed(f"{rows} rows are too many")
        findings = {name: dict(self.finding) for name in asked}
        return TrialReport(GRAPH, ("CPUExecutionProvider",), (), 0, 0.0, findings=findings)


@pytest.fixture
def trial() -> Trial:
    return Trial()


# Without max_batch_size.


async def test_a_model_whose_rows_are_proven_independent_batches_as_far_as_the_setting_says(
    trial: Trial,
) -> None:
    tried = await trial.of(default_rows=16)
    assert tried.spec.max_batch_size == 16
    assert [tensor.shape for tensor in (*tried.spec.inputs, *tried.spec.outputs)] == [(4,), (2,)]
    assert [run["x"].shape for run in tried.plan.runs] == [(1, 4), (16, 4)]
    assert (tried.rows, tried.warnings) == (PROVEN, ())
    assert trial.runs == [(16, True)]
    assert trial.memory.remembered == [PROVEN]


@pytest.mark.parametrize("verdict", [REFUTED, UNDECIDED])
async def test_any_other_model_does_not_and_is_tried_as_one(trial: Trial, verdict: Verdict) -> None:
    trial.finding = verdict_to_json(verdict)
    tried = await trial.of()
    assert tried.spec.max_batch_size == 0
    assert tried.spec.inputs[0].shape == (-1, 4)
    assert (tried.rows, tried.warnings) == (verdict, ())
    assert trial.runs == [(32, True), (0, False)]
    assert trial.memory.remembered == [verdict]


@pytest.mark.parametrize(("verdict", "rows"), [(PROVEN, 32), (REFUTED, 0), (UNDECIDED, 0)])
async def test_what_is_known_is_not_examined_again(trial: Trial, verdict: Verdict, rows: int) -> None:
    trial.memory.known = verdict
    tried = await trial.of()
    assert (tried.spec.max_batch_size, tried.rows) == (rows, verdict)
    assert trial.runs == [(rows, False)]
    assert trial.memory.remembered == []


async def test_a_biggest_batch_that_cannot_be_run_is_no_reason_not_to_load(trial: Trial) -> None:
    trial.limit = 8
    tried = await trial.of()
    assert tried.spec.max_batch_size == 0
    assert str(tried.rows) == (
        "rows are not shown to be independent: a batch cannot be run: 32 rows are too many"
    )


async def test_a_model_that_cannot_be_run_at_all_is_refused(trial: Trial) -> None:
    trial.limit = -1
    with pytest.raises(LoadFailed, match=r"^0 rows are too many"):
        await trial.of()


async def test_a_graph_that_has_no_rows_is_not_examined(trial: Trial) -> None:
    graph = GraphSpec((GraphTensor("x", FP32, (1, 4), (None, None)),), GRAPH.outputs)
    tried = await trial.of(graph=graph)
    assert tried.rows == Verdict(
        Outcome.UNDECIDED, reason="input 'x' has no free first dimension in the graph"
    )
    assert trial.runs == [(0, False)]


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_size: 0",
        "batching: {verify: off}",
        "batching: {dynamic: false}",
        "batching: {verify: off}\nmax_batch_size: 8",
        "batching: {dynamic: false}\nmax_batch_size: 8",
        "max_batch_size: 1",
    ],
)
async def test_nothing_is_examined_where_the_config_leaves_nothing_to_find(trial: Trial, text: str) -> None:
    tried = await trial.of(text)
    assert (tried.rows, tried.warnings) == (None, ())
    assert [examined for _, examined in trial.runs] == [False]


@pytest.mark.parametrize("default_rows", [0, 1])
async def test_nothing_is_examined_where_the_setting_lets_nothing_be_batched(
    trial: Trial, default_rows: int
) -> None:
    assert (await trial.of(default_rows=default_rows)).spec.max_batch_size == 0
    assert trial.runs == [(0, False)]


@pytest.mark.parametrize(
    "text",
    [
        "inputs: [{name: x, shape: [-1, 4]}]",
        "inputs: [{name: x, shape: [3, 4]}]",
        "outputs: [{name: y, shape: [1, 2]}]",
        "warmup: {samples: [{inputs: {x: {shape: [2, 4]}}}]}",
    ],
)
async def test_a_config_with_complete_shapes_is_one_of_a_model_that_does_not_batch(
    trial: Trial, text: str
) -> None:
    tried = await trial.of(text)
    assert tried.spec.max_batch_size == 0
    assert "its config is that of a model that does not batch" in str(tried.rows)
    assert trial.runs == [(0, False)]


async def test_a_config_with_the_shapes_of_rows_fits_a_model_that_batches_only(trial: Trial) -> None:
    text = "inputs: [{name: x, shape: [4]}]"
    assert (await trial.of(text)).spec.max_batch_size == 32
    trial.finding = verdict_to_json(REFUTED)
    with pytest.raises(LoadFailed, match="without max_batch_size the shape is complete"):
        await trial.of(text)


async def test_a_config_that_fits_neither_way_is_refused(trial: Trial) -> None:
    with pytest.raises(LoadFailed, match="the graph has no input 'z'"):
        await trial.of("inputs: [{name: z}]")


# With max_batch_size.


async def test_a_stated_batch_is_examined_too(trial: Trial) -> None:
    tried = await trial.of("max_batch_size: 8")
    assert (tried.spec.max_batch_size, tried.rows, tried.warnings) == (8, PROVEN, ())
    assert trial.runs == [(8, True)]


@pytest.mark.parametrize("verdict", [REFUTED, UNDECIDED])
async def test_a_stated_batch_that_is_not_proven_is_served_with_a_warning(
    trial: Trial, verdict: Verdict
) -> None:
    trial.finding = verdict_to_json(verdict)
    tried = await trial.of("max_batch_size: 8")
    assert (tried.spec.max_batch_size, tried.rows) == (8, verdict)
    (warning,) = tried.warnings
    assert warning.startswith(f"max_batch_size: {verdict}; set max_batch_size: 0")


@pytest.mark.parametrize("verdict", [REFUTED, UNDECIDED])
async def test_a_strict_config_is_refused_with_the_evidence_at_its_line(
    trial: Trial, verdict: Verdict
) -> None:
    trial.finding = verdict_to_json(verdict)
    with pytest.raises(LoadFailed) as caught:
        await trial.of("max_batch_size: 8\nbatching:\n  verify: strict\n")
    assert caught.value.message.startswith(
        f"config.yaml:3:11: batching.verify: {verdict}; set max_batch_size"
    )


async def test_a_strict_config_of_a_model_that_is_proven_or_does_not_batch_is_served(trial: Trial) -> None:
    assert (await trial.of("max_batch_size: 8\nbatching: {verify: strict}")).rows == PROVEN
    trial.finding = verdict_to_json(REFUTED)
    assert (await trial.of("batching: {verify: strict}")).spec.max_batch_size == 0


async def test_a_probe_that_ended_its_process_decides_nothing(trial: Trial) -> None:
    trial.finding = {DIED: "model.onnx: killed while examining its independence"}
    tried = await trial.of("max_batch_size: 8")
    assert str(tried.rows) == (
        "rows are not shown to be independent: "
        "the probe ended its process: model.onnx: killed while examining its independence"
    )
    assert trial.memory.remembered == [tried.rows]


async def test_an_answer_that_cannot_be_read_decides_nothing(trial: Trial) -> None:
    trial.finding = {"outcome": "of course"}
    assert (await trial.of()).spec.max_batch_size == 0
