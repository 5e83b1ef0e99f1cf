"""Which node runs where and how long, read from profiles."""

from pathlib import Path
from typing import Any

import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.node_profile import PLACEMENT, examine_placement, summary
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial import TrialRoom
from onnxd.runtime.trial_messages import TrialRequest
from tests.support import graphs


def node(name: str, operator: str, us: int, provider: str = "CPUExecutionProvider") -> dict[str, Any]:
    told = {"op_name": operator, "provider": provider, "node_index": "3"}
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": us, "args": told}


RUN: dict[str, Any] = {"cat": "Session", "name": "model_run", "dur": 100, "args": {}}


def left(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_shares_are_of_the_time_in_nodes_by_provider_and_by_node() -> None:
    report = summary(
        [
            *(RUN, node("a", "Conv", 60, "CUDAExecutionProvider"), node("b", "Shape", 20)),
            *(RUN, node("a", "Conv", 80, "CUDAExecutionProvider"), node("b", "Shape", 40)),
        ]
    )
    assert report["runs"] == 2
    assert report["run_us"] == 100
    assert report["providers"] == [
        {"provider": "CUDAExecutionProvider", "nodes": 1, "share": 0.7},
        {"provider": "CPUExecutionProvider", "nodes": 1, "share": 0.3},
    ]
    assert [(each["name"], each["us"], each["share"]) for each in report["nodes"]] == [
        ("a", 70, 0.7),
        ("b", 30, 0.3),
    ]


def test_a_node_without_a_name_is_called_by_its_operator_and_place() -> None:
    (only,) = summary([RUN, node("", "Add", 5)])["nodes"]
    assert only["name"] == "Add 3"


def test_what_is_not_the_run_of_a_node_counts_for_nothing() -> None:
    fence = {"cat": "Node", "name": "a_fence_before", "dur": 9, "args": {}}
    assert summary([RUN, fence, {"cat": "Session", "name": "x", "dur": 9}])["nodes"] == []


def test_of_very_many_nodes_the_longest_are_listed() -> None:
    report = summary([RUN, *(node(f"n{number}", "Add", number) for number in range(1500))])
    assert len(report["nodes"]) == 1000
    assert report["nodes"][0]["name"] == "n1499"
    assert report["nodes_left_out"] == 500
    assert report["providers"][0]["nodes"] == 1500


def test_a_profile_that_was_cut_off_is_refused_and_removed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one())

    class CutOff(OnnxSession):
        def end_profiling(self) -> Path:
            whole = super().end_profiling()
            whole.write_bytes(whole.read_bytes()[:-5])
            return whole

    session = CutOff.open(tmp_path / "model.onnx", SessionConfig(), 1, profile=tmp_path)
    with pytest.raises(LoadFailed, match="too large to be read"):
        examine_placement(session, tmp_path, {})
    assert left(tmp_path) == ["model.onnx"]


async def test_a_trial_profiles_a_real_session(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.mlp())
    async with TrialRoom() as room:
        request = TrialRequest(
            tmp_path / "model.onnx",
            SessionConfig(),
            threads=1,
            profile=tmp_path,
            examinations={PLACEMENT: {}},
        )
        report = (await room.rehearse(request)).findings[PLACEMENT]
    assert report["runs"] >= 1
    assert [row["provider"] for row in report["providers"]] == ["CPUExecutionProvider"]
    assert {row["operator"] for row in report["nodes"]} >= {"Gemm"}
    assert sum(row["share"] for row in report["nodes"]) == pytest.approx(1, abs=0.01)
    assert left(tmp_path) == ["model.onnx"]
