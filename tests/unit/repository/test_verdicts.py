"""Verdicts on disk."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from onnxd.repository.verdicts import NoVerdicts, VerdictFiles, verdict_digest
from onnxd.runtime.row_verdict import Outcome, Verdict
from onnxd.runtime.session_config import SessionConfig

QUESTION = {"inputs": [["x", "FP32", [4], [None]]], "outputs": {"y": "FP32"}, "max_rows": 32}
PROVEN = Verdict(Outcome.PROVEN, "probe", 100, 10, 1e-7)
REFUTED = Verdict(Outcome.REFUTED, "probe", reason="because")


def stored(state: Path) -> Path:
    (path,) = (state / "verdicts").iterdir()
    return path


def test_what_is_remembered_is_recalled_by_the_next_server(tmp_path: Path) -> None:
    VerdictFiles(tmp_path).remember("digest", QUESTION, PROVEN)
    assert VerdictFiles(tmp_path).recall("digest", QUESTION) == PROVEN


def test_the_latest_verdict_counts(tmp_path: Path) -> None:
    files = VerdictFiles(tmp_path)
    files.remember("digest", QUESTION, PROVEN)
    files.remember("digest", QUESTION, REFUTED)
    assert files.recall("digest", QUESTION) == REFUTED


def test_another_digest_or_question_has_none(tmp_path: Path) -> None:
    files = VerdictFiles(tmp_path)
    assert files.recall("digest", QUESTION) is None
    files.remember("digest", QUESTION, PROVEN)
    assert files.recall("other", QUESTION) is None
    assert files.recall("digest", {**QUESTION, "max_rows": 64}) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"digest": "digest"}',
        b"[" * 100_000,
        json.dumps({"digest": "digest", "question": QUESTION, "verdict": {"outcome": "proven"}}).encode(),
        json.dumps({"digest": "foreign", "question": QUESTION, "verdict": {}}).encode(),
    ],
    ids=range(8),
)
def test_a_file_that_says_anything_else_is_none(tmp_path: Path, content: bytes) -> None:
    files = VerdictFiles(tmp_path)
    files.remember("digest", QUESTION, PROVEN)
    stored(tmp_path).write_bytes(content)
    assert files.recall("digest", QUESTION) is None
    files.remember("digest", QUESTION, PROVEN)
    assert files.recall("digest", QUESTION) == PROVEN


def test_a_file_from_elsewhere_under_its_name_is_none(tmp_path: Path) -> None:
    files = VerdictFiles(tmp_path)
    files.remember("digest", QUESTION, PROVEN)
    files.remember("other", QUESTION, REFUTED)
    one, other = sorted((tmp_path / "verdicts").iterdir())
    one.replace(other)
    assert {files.recall("digest", QUESTION), files.recall("other", QUESTION)} in ({None}, {None, PROVEN}, {
        None, REFUTED
    })  # fmt: skip


def test_a_link_and_a_pipe_are_none(tmp_path: Path) -> None:
    files = VerdictFiles(tmp_path)
    files.remember("digest", QUESTION, PROVEN)
    path = stored(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert files.recall("digest", QUESTION) is None
    path.unlink()
    os.mkfifo(path)
    assert files.recall("digest", QUESTION) is None


def test_the_oldest_are_forgotten_when_there_are_too_many(tmp_path: Path) -> None:
    files = VerdictFiles(tmp_path, most=3)
    for number in range(3):
        files.remember(str(number), QUESTION, PROVEN)
        newest = max((tmp_path / "verdicts").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        os.utime(newest, (number, number))
    files.recall("0", QUESTION)  # used, so no longer the oldest
    files.remember("3", QUESTION, PROVEN)
    kept = [str(number) for number in range(4) if files.recall(str(number), QUESTION)]
    assert kept == ["0", "2", "3"]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    files = VerdictFiles(tmp_path, most=1)
    files.remember("0", QUESTION, PROVEN)
    (tmp_path / "verdicts" / "notes.txt").write_text("mine")
    files.remember("1", QUESTION, PROVEN)
    assert (tmp_path / "verdicts" / "notes.txt").exists()


def test_a_state_directory_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "verdicts").write_text("in the way")
    VerdictFiles(tmp_path).remember("digest", QUESTION, PROVEN)
    assert VerdictFiles(tmp_path).recall("digest", QUESTION) is None


def test_nothing_is_remembered_where_nothing_shall_be() -> None:
    NoVerdicts().remember("digest", QUESTION, PROVEN)
    assert NoVerdicts().recall("digest", QUESTION) is None


@pytest.mark.parametrize(
    "change",
    [
        {"content": "other"},
        {"file": "other.onnx"},
        {"session": SessionConfig(graph_optimization="disable")},
        {"session": SessionConfig(providers=({"CPUExecutionProvider": {"a": 1}},))},
    ],
    ids=["content", "file", "session", "providers"],
)
def test_a_verdict_is_on_one_content_run_in_one_way(change: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"content": "abc", "file": "model.onnx", "session": SessionConfig()}
    assert verdict_digest(**usual) == verdict_digest(**usual)
    assert verdict_digest(**{**usual, **change}) != verdict_digest(**usual)


def test_another_runtime_or_method_makes_old_verdicts_void(monkeypatch: pytest.MonkeyPatch) -> None:
    before = verdict_digest("abc", "model.onnx", SessionConfig())
    monkeypatch.setattr("onnxd.repository.verdicts.METHOD", -1)
    assert verdict_digest("abc", "model.onnx", SessionConfig()) != before
    monkeypatch.undo()
    monkeypatch.setattr("onnxd.repository.verdicts.onnxruntime.__version__", "0.0")
    assert verdict_digest("abc", "model.onnx", SessionConfig()) != before
