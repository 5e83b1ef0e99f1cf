"""What trials have shown, on disk."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from onnxd.repository import known_trials
from onnxd.repository.config_choice import read_config
from onnxd.repository.examined import Examined
from onnxd.repository.instances import Isolation
from onnxd.repository.known_trials import TrialFiles
from onnxd.repository.layout import scan
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.row_proof import draft
from onnxd.repository.store import SnapshotStore, StoredFiles
from onnxd.runtime.devices import cpu_kind
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.runtime.providers import CPU
from onnxd.runtime.row_verdict import Outcome, Verdict
from onnxd.runtime.trial_messages import TrialReport, TrialRequest
from onnxd.tensors import Datatype
from tests.support.files import put

GRAPH = GraphSpec(
    (GraphTensor("x", Datatype.FP32, (-1, 4), ("n", None)),),
    (GraphTensor("y", Datatype.FP32, (-1, 4), ("n", None)),),
)
DEFAULT_ROWS = 32


@pytest.fixture
def model(tmp_path: Path) -> Iterator[tuple[ModelSettings, StoredFiles]]:
    put(tmp_path / "models/one/1/model.onnx", b"graph")
    put(tmp_path / "models/one/config.yaml", b"isolation: process\n")
    with SnapshotStore(tmp_path / "snapshots-of-test") as store:
        files = scan([tmp_path / "models"]).models["one"]
        beside = store.take_settings(files)
        loaded = read_config(beside.path, "one", gpus=0)
        yield ModelSettings("one", loaded, {}, beside.digest, beside), store.take(files, 1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def examined(model: tuple[ModelSettings, StoredFiles], providers: tuple[str, ...] = (CPU,)) -> Examined:
    settings, stored = model
    drafted = draft("one", 1, settings.loaded, GRAPH, {}, DEFAULT_ROWS)
    report = TrialReport(GRAPH, providers, (0.001,), 5000, 0.25, resident_bytes=4000, notes=("noted",))
    request = TrialRequest(stored.path / "model.onnx", settings.config.session_config(), 2)
    return Examined(
        drafted.spec,
        report,
        replace(request, warmup=drafted.plan.runs),
        drafted.plan,
        ("a warning",),
        Verdict(Outcome.PROVEN, "graph"),
        Isolation("runs in a process of its own, as its config says", lean=True),
    )


def test_what_is_remembered_is_recalled_by_the_next_server(
    model: tuple[ModelSettings, StoredFiles], state: Path
) -> None:
    TrialFiles(state, DEFAULT_ROWS).remember(*model, examined(model))
    assert TrialFiles(state, DEFAULT_ROWS).recall(*model, 1, 2) == examined(model)


def test_nothing_is_known_of_other_content_other_settings_or_another_default(
    model: tuple[ModelSettings, StoredFiles], state: Path
) -> None:
    settings, stored = model
    files = TrialFiles(state, DEFAULT_ROWS)
    files.remember(settings, stored, examined(model))
    assert files.recall(settings, replace(stored, digest="0" * 64), 1, 2) is None
    assert files.recall(replace(settings, digest="0" * 64), stored, 1, 2) is None
    assert TrialFiles(state, 1).recall(settings, stored, 1, 2) is None
    assert files.recall(settings, stored, 1, 2) is not None


@pytest.mark.parametrize("what", ["version", "cpu_kind", "available_providers"])
def test_nothing_is_known_on_another_machine_or_of_another_release(
    model: tuple[ModelSettings, StoredFiles], state: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    files = TrialFiles(state, DEFAULT_ROWS)
    files.remember(*model, examined(model))
    monkeypatch.setattr(known_trials, what, lambda *_: "another")
    assert files.recall(*model, 1, 2) is None


def test_what_ran_on_another_device_is_tried_again(
    model: tuple[ModelSettings, StoredFiles], state: Path
) -> None:
    files = TrialFiles(state, DEFAULT_ROWS)
    files.remember(*model, examined(model, ("CUDAExecutionProvider", CPU)))
    assert files.recall(*model, 1, 2) is None


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"7", b'{"of": "another"}'], ids=range(5))
def test_a_file_that_says_anything_else_is_none(
    model: tuple[ModelSettings, StoredFiles], state: Path, content: bytes
) -> None:
    files = TrialFiles(state, DEFAULT_ROWS)
    files.remember(*model, examined(model))
    (note,) = (state / "trials").iterdir()
    kept = json.loads(note.read_bytes())
    for broken in (content, json.dumps({"of": kept["of"], "examined": {}}).encode()):
        note.write_bytes(broken)
        assert files.recall(*model, 1, 2) is None


def test_a_cpu_is_told_by_its_make_and_what_it_can_do(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.write_text("model name\t: A\ncpu MHz\t: 1\nflags\t: avx avx2\n\nmodel name\t: B\n")
    other.write_text("model name\t: A\ncpu MHz\t: 2\nflags\t: avx\n")
    assert cpu_kind(first).endswith("A; avx avx2")
    assert cpu_kind(other).endswith("A; avx")
    assert cpu_kind(tmp_path / "none")
