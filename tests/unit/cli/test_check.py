"""`onnxd check` on repositories with faults in them. The trials are real."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from tests.support import graphs


def check(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["check", *arguments], env={"ONNXD_TRIAL_WALL": "50s"})


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound model in two versions of which one is chosen, and one model for each kind of fault."""
    root = tmp_path_factory.mktemp("repository")
    for version in ("1", "2"):
        _write(root / "sound" / version / "model.onnx", graphs.identity())
    _write(root / "sound" / "config.yaml", b"max_batch_size: 8\n")
    _write(root / "misspelt" / "1" / "model.onnx", graphs.identity())
    _write(root / "misspelt" / "config.yaml", b"description: x\nmax_batch_sise: 8\ninstances: 0\n")
    _write(root / "torn" / "1" / "model.onnx", graphs.identity()[:40])
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def document(repository: Path) -> dict[str, dict[str, object]]:
    """What --json says of each version of that repository."""
    result = check(str(repository), "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["sound"] is False
    return {f"{each['model']}/{each['version']}": each for each in told["versions"]}


def test_every_version_has_a_verdict(document: dict[str, dict[str, object]]) -> None:
    assert {name: each["sound"] for name, each in document.items()} == {
        "empty/None": False,
        "misspelt/None": False,
        "sound/1": True,
        "sound/2": True,
        "torn/1": False,
    }


def test_a_sound_version_says_what_it_takes_and_gives(document: dict[str, dict[str, object]]) -> None:
    sound = document["sound/2"]

    assert (sound["takes"], sound["gives"]) == ("x FP32 [-1,4]", "y FP32 [-1,4]")
    assert sound["providers"] == ["CPUExecutionProvider"]
    assert (sound["chosen"], document["sound/1"]["chosen"]) == (True, False)


def test_every_fault_of_a_config_is_told_with_file_line_and_column(
    document: dict[str, dict[str, object]], repository: Path
) -> None:
    lines = str(document["misspelt/None"]["fault"]).splitlines()

    config = repository / "misspelt" / "config.yaml"
    assert lines[0].startswith(f"{config}:2:1: max_batch_sise: unknown key; did you mean max_batch_size?")
    assert lines[1].startswith(f"{config}:3:12: instances: expected an integer from 1")


def test_the_table_shows_the_same(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "misspelt").symlink_to(repository / "misspelt")
    (tmp_path / "empty").symlink_to(repository / "empty")

    result = check(str(tmp_path))

    assert result.exit_code == 1
    assert "FAULT" in result.stdout
    assert f"{tmp_path / 'misspelt' / 'config.yaml'}:2:1: max_batch_sise" in result.stdout
    assert result.stdout.endswith("2 checked, 2 at fault.\n")


def test_a_repository_without_a_fault_is_exit_code_0(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "sound").symlink_to(repository / "sound")

    result = check(str(tmp_path))

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("2 checked, no faults.\n")


def test_a_directory_that_is_not_there_is_a_mistake() -> None:
    result = check("nowhere")

    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_faulty_settings_are_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("trail: {}\n")

    result = check("--config", str(file), str(tmp_path))

    assert result.exit_code == 2
    assert f"{file}:1:1: trail: unknown key; did you mean trial?" in result.stderr


def test_what_of_a_config_pbtxt_has_no_effect_is_a_note_with_its_place(tmp_path: Path) -> None:
    _write(tmp_path / "triton" / "1" / "model.onnx", graphs.identity())
    _write(tmp_path / "triton" / "config.pbtxt", b"max_batch_size: 8\nresponse_cache { enable: true }\n")
    _write(tmp_path / "both" / "1" / "model.onnx", graphs.identity())
    _write(tmp_path / "both" / "config.pbtxt", b"max_batch_size: 8\n")
    _write(tmp_path / "both" / "config.yaml", b"max_batch_size: 4\n")
    _write(tmp_path / "torn" / "1" / "model.onnx", graphs.identity())
    _write(tmp_path / "torn" / "config.pbtxt", b"max_batch_size: many\n")

    result = check(str(tmp_path))

    assert result.exit_code == 1
    place = tmp_path / "triton" / "config.pbtxt"
    assert (
        f"note: {place}:2:18: response_cache.enable: has no effect: answers are not cached\n" in result.stdout
    )
    unread = tmp_path / "both" / "config.pbtxt"
    assert (
        f"note: {unread} is not read, because there is a config.yaml; remove one of the two\n"
        in result.stdout
    )
    assert f"{tmp_path / 'torn' / 'config.pbtxt'}:1:17: couldn't parse integer: many" in result.stdout
    assert result.stdout.endswith("3 checked, 1 at fault.\n")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_version_says_how_far_it_batches_and_why(tmp_path: Path) -> None:
    graphs_by_name = {
        "alike": graphs.identity(),
        "mixed": graphs.minus_batch_mean(),
        "stated": graphs.minus_batch_mean(),
    }
    for name, graph in graphs_by_name.items():
        _write(tmp_path / name / "1" / "model.onnx", graph)
    _write(tmp_path / "stated" / "config.yaml", b"max_batch_size: 8\n")

    told = json.loads(check(str(tmp_path), "--json").stdout)
    rows = {each["model"]: (each["max_batch_size"], each["rows"]["outcome"]) for each in told["versions"]}
    assert rows == {"alike": (32, "proven"), "mixed": (0, "refuted"), "stated": (8, "refuted")}
    assert told["versions"][0]["rows"]["by"] == "graph"
    assert "row 0 of output 'y'" in told["versions"][1]["rows"]["reason"]

    text = check(str(tmp_path)).stdout
    assert "batches of 32, rows are independent: every node works row by row" in " ".join(text.split())
    assert "not batched, rows are not independent: row 0" in " ".join(text.split())
    page = (Path(__file__).parents[3] / "docs" / "row-independence.md").read_text(encoding="utf-8")
    assert told["versions"][1]["rows"]["reason"] in page
    assert "note: model 'stated': max_batch_size: rows are not independent" in text
