"""`onnxd check` on one model for each fault that is not in a config.yaml's text, and what --fix writes."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from tests.support import graphs
from tests.support.server import ROOT
from tests.unit.repository.test_config_check import ELSEWHERE

SCHEMA: Mapping[str, Any] = json.loads((ROOT / "config/check.schema.json").read_text())
FAULTY = "# rows\nmax_batch_sise: 8  # many\ninputs:\n- {name: x, datatype: FP64}  # four\n"
MENDED = "# rows\nmax_batch_size: 8  # many\ninputs:\n- {name: x, datatype: FP32}  # four\n"


def check(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, arguments)])


def document(*arguments: str | Path) -> Any:
    told = json.loads(check("--json", *arguments).stdout)
    jsonschema.validate(told, SCHEMA)
    return told


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What is said of a repository with one model for each code."""
    root = tmp_path_factory.mktemp("codes")
    for name in ("c005", "c037", "c071", "c091", "sound"):
        put(root / name / "1/model.onnx", graphs.identity())
    put(root / "c005/config.pbtxt", "max_batch_size: many\n")
    put(root / "unchosen/1/model.onnx", graphs.identity())
    put(root / "unchosen/config.yaml", "versions: [7]\n")
    put(root / "c037/config.yaml", "warmup: {samples: [{inputs: {x: {shape: [1, 5]}}}]}\n")
    put(root / "c038/1/model.onnx", graphs.minus_batch_mean())
    put(root / "c038/config.yaml", "max_batch_size: 8\nbatching: {verify: strict}\n")
    (root / "c060").mkdir()
    put(root / "c061/1/other.onnx", graphs.identity())
    put(root / "c062/1/model.onnx", graphs.identity())
    os.mkfifo(root / "c062/1/pipe")
    put(root / "c070/1/model.onnx", b"no model")
    put(root / "c071/1/model.onnx", graphs.deadly())
    put(root / "c090.onnx", graphs.identity())
    put(root / "c091/config.pbtxt", "response_cache { enable: true }\n")
    return document(root)


@pytest.mark.parametrize("code", sorted(ELSEWHERE - {"C030"}))
def test_each_kind_of_fault_has_its_code(told: Any, code: str) -> None:
    name = code.lower()
    found = [each for each in told["findings"] if each["model"] == name or name in each["message"]]
    assert [each["code"] for each in found] == [code]
    assert found[0]["severity"] == ("note" if code in ("C090", "C091") else "fault")


def test_what_is_sound_is_in_no_finding(told: Any) -> None:
    sound = {each["model"] for each in told["versions"] if each["sound"]}
    assert sound == {"c091", "sound", "unchosen"}
    faults = {each["model"] for each in told["findings"] if each["severity"] == "fault"}
    assert faults & sound == {"unchosen"}


def test_a_model_none_of_whose_versions_is_chosen_is_at_fault(told: Any) -> None:
    (found,) = [each for each in told["findings"] if each["model"] == "unchosen"]
    assert found["code"] == "C060"
    assert found["message"].startswith("none of its versions (1) is chosen by 'versions'")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "m/1/model.onnx", graphs.identity())
    put(tmp_path / "m/config.yaml", FAULTY)
    return tmp_path


def test_a_finding_has_place_graph_and_mend(root: Path) -> None:
    put(root / "m/config.yaml", FAULTY.replace("sise", "size"))
    (found,) = document(root)["findings"]
    assert found == {
        "code": "C031",
        "severity": "fault",
        "message": "config.yaml says FP64, the graph says FP32 for input 'x'; "
        "state the graph's, or leave it out",
        "model": "m",
        "version": 1,
        "file": str(root / "m/config.yaml"),
        "line": 4,
        "column": 23,
        "key": "inputs[0].datatype",
        "graph": "input 'x': FP32 [-1, 4]",
        "mend": "- {name: x, datatype: FP32}  # four",
    }


def test_people_read_the_same(root: Path) -> None:
    put(root / "m/config.yaml", FAULTY.replace("sise", "size"))
    lines = check(root).stdout.splitlines()
    place = f"{root / 'm/config.yaml'}:4:23: inputs[0].datatype: "
    at = next(index for index, line in enumerate(lines) if line.startswith(place))
    assert lines[at].endswith("[C031]")
    assert lines[at + 1 : at + 3] == [
        "    graph: input 'x': FP32 [-1, 4]",
        "    mend:  - {name: x, datatype: FP32}  # four",
    ]


def test_fix_writes_what_is_certain_shows_it_and_checks_again(root: Path) -> None:
    os.chmod(root / "m/config.yaml", 0o640)
    result = check("--fix", root)
    assert result.exit_code == 0, result.output
    assert (root / "m/config.yaml").read_text() == MENDED
    assert (root / "m/config.yaml").stat().st_mode & 0o777 == 0o640
    assert "-max_batch_sise: 8  # many\n" in result.stdout
    assert "+max_batch_size: 8  # many\n" in result.stdout
    assert result.stdout.endswith("1 checked, no faults.\n")
    assert [path.name for path in (root / "m").iterdir() if path.name.startswith(".")] == []


def test_fixing_again_changes_nothing(root: Path) -> None:
    check("--fix", root)
    before = (root / "m/config.yaml").stat()
    result = check("--fix", root)
    assert (result.exit_code, (root / "m/config.yaml").stat()) == (0, before)
    assert "+++" not in result.stdout


def test_what_is_not_certain_is_left_and_told(root: Path) -> None:
    put(root / "m/config.yaml", f"{FAULTY}zebra: 1\n")
    result = check("--fix", root)
    assert result.exit_code == 1
    assert (root / "m/config.yaml").read_text() == f"{MENDED}zebra: 1\n"
    assert "zebra: unknown key" in result.stdout


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""], ids=["with a byte order mark", "without"])
def test_line_ends_and_the_byte_order_mark_stay(root: Path, mark: bytes) -> None:
    put(root / "m/config.yaml", mark + FAULTY.replace("\n", "\r\n").encode())
    assert check("--fix", root).exit_code == 0
    assert (root / "m/config.yaml").read_bytes() == mark + MENDED.replace("\n", "\r\n").encode()


def test_a_config_that_is_a_link_is_left_alone(root: Path) -> None:
    (root / "m/config.yaml").rename(root / "shared.yaml")
    (root / "m/config.yaml").symlink_to("../shared.yaml")
    result = check("--fix", root)
    assert result.exit_code == 1
    assert "is not changed: it is a link" in result.stderr
    assert (root / "shared.yaml").read_text() == FAULTY


def test_a_pbtxt_is_never_changed(root: Path) -> None:
    (root / "m/config.yaml").unlink()
    before = put(root / "m/config.pbtxt", "max_batch_sise: 8\n").stat()
    result = check("--fix", root)
    assert result.exit_code == 1
    assert re.search(r"config\.pbtxt:1:1: .*did you mean max_batch_size\? \[C005\]", result.stdout)
    assert (root / "m/config.pbtxt").stat() == before


def test_json_tells_what_was_fixed(root: Path) -> None:
    told = document("--fix", root)
    (fixed,) = told["fixed"]
    assert told["sound"] is True
    assert told["findings"] == []
    assert fixed["file"] == str(root / "m/config.yaml")
    assert fixed["codes"] == ["C010", "C031"]
    assert "\n+max_batch_size: 8  # many\n" in fixed["diff"]


def test_what_fix_cannot_write_is_a_mistake(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    result = check("--fix", root)
    assert result.exit_code == 2
    assert "cannot be written: Permission denied" in result.stderr
    assert sorted(path.name for path in (root / "m").iterdir()) == ["1", "config.yaml"]
