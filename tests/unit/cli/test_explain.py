"""`onnxd explain`: every key, its value in force, and where that comes from."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from onnxd.repository.config import InputConfig, ModelConfig, OutputConfig
from onnxd.repository.version_policy import VersionPolicy
from onnxd.runtime.threads import cpu_budget
from tests.support import graphs

CONFIG = """\
# rows
max_batch_size: 8
inputs:
- name: x
  shape: [4]
outputs:
- {name: y}
batching:
  max_queue_delay: 5ms
  max_queue_bytes: 1MiB
session: {options: {session.set_denormal_as_zero: "1"}}
versions: [1, 3]
warmup: {samples: [{batch_size: 2, inputs: {x: {shape: [4], datatype: FP32}}}]}
parameters: {a: b}
"""


def explain(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["explain", *map(str, arguments)])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "m"
    (directory / "1").mkdir(parents=True)
    (directory / "1" / "model.onnx").write_bytes(graphs.identity())
    return directory


def keys(directory: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    result = explain("--json", directory, *arguments)
    assert result.exit_code == 0, result.output
    return {each.pop("key"): each for each in json.loads(result.stdout)}


def every_key(kind: Any, prefix: str = "") -> Iterator[str]:
    """The keys of a config, sections opened, lists left out."""
    for field in dataclasses.fields(kind):
        default = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        if dataclasses.is_dataclass(default) and not isinstance(default, VersionPolicy):
            yield from every_key(default, f"{prefix}{field.name}.")
        elif field.name not in ("inputs", "outputs"):
            yield f"{prefix}{field.name}"


def test_no_key_of_the_config_is_left_out(model: Path) -> None:
    expected = set(every_key(ModelConfig))
    expected |= {f"inputs[0].{field.name}" for field in dataclasses.fields(InputConfig)}
    expected |= {f"outputs[0].{field.name}" for field in dataclasses.fields(OutputConfig)}
    assert set(keys(model)) == expected


def test_a_bare_model_is_what_its_graph_says_and_the_defaults(model: Path) -> None:
    told = keys(model)
    assert told["inputs[0].name"] == {"value": "x", "source": "graph", "file": None, "line": None}
    assert (told["inputs[0].shape"]["value"], told["inputs[0].shape"]["source"]) == ([-1, 4], "graph")
    assert told["instances"] == {"value": 1, "source": "default", "file": None, "line": None}
    assert {each["source"] for each in told.values()} == {"graph", "default", "machine"}


def test_a_value_of_the_file_has_its_line(model: Path) -> None:
    (model / "config.yaml").write_text(CONFIG)
    told = keys(model)
    lines = {key: (each["value"], each["line"]) for key, each in told.items() if each["source"] == "file"}
    assert lines == {
        "max_batch_size": (8, 2),
        "inputs[0].name": ("x", 4),
        "inputs[0].shape": ([4], 5),
        "outputs[0].name": ("y", 7),
        "batching.max_queue_delay": ("5ms", 9),
        "batching.max_queue_bytes": ("1MiB", 10),
        "session.options.session.set_denormal_as_zero": ("1", 11),
        "versions": ([1, 3], 12),
        "warmup.samples[0].batch_size": (2, 13),
        "warmup.samples[0].inputs.x.shape": ([4], 13),
        "warmup.samples[0].inputs.x.datatype": ("FP32", 13),
        "parameters.a": ("b", 14),
    }
    assert told["inputs[0].datatype"] == {"value": "FP32", "source": "graph", "file": None, "line": None}
    assert told["outputs[0].shape"]["value"] == [4]


def test_what_the_machine_decides_says_so(model: Path) -> None:
    told = keys(model)["session.intra_op_threads"]
    assert told == {"value": cpu_budget(), "source": "machine", "file": None, "line": None}


def test_a_warm_up_that_nobody_stated_is_that_of_the_batch(model: Path) -> None:
    (model / "config.yaml").write_text("max_batch_size: 8\n")
    assert keys(model)["warmup.batch_sizes"]["value"] == [1, 8]


def test_a_pbtxt_has_its_own_lines(model: Path) -> None:
    (model / "config.pbtxt").write_text("# rows\nmax_batch_size: 8\n")
    told = keys(model)["max_batch_size"]
    assert told == {"value": 8, "source": "file", "file": "config.pbtxt", "line": 2}


def test_people_read_a_table(model: Path) -> None:
    (model / "config.yaml").write_text(CONFIG)
    rows = [line.split() for line in explain(model).stdout.splitlines()]
    assert ["max_batch_size", "8", "config.yaml:2"] in rows
    assert ["inputs[0].datatype", "FP32", "graph"] in rows
    assert ["require_provider", "none", "default"] in rows


def test_another_version_can_be_looked_at(model: Path) -> None:
    (model / "2").mkdir()
    (model / "2" / "model.onnx").write_bytes(graphs.identity(dims=("batch", 5)))
    assert keys(model)["inputs[0].shape"]["value"] == [-1, 5]
    assert keys(model, "--version", "1")["inputs[0].shape"]["value"] == [-1, 4]


@pytest.mark.parametrize(
    ("config", "code", "text"),
    [
        ("max_batch_sise: 8\n", 1, "config.yaml:1:1: max_batch_sise: unknown key"),
        ("inputs: [{name: z}]\n", 1, "the graph has no input 'z'"),
        ("versions: [7]\n", 2, "choose one with --version"),
    ],
)
def test_what_would_not_be_served_says_why(model: Path, config: str, code: int, text: str) -> None:
    (model / "config.yaml").write_text(config)
    result = explain(model)
    assert result.exit_code == code
    assert text in result.stderr
    assert result.stdout == ""


def test_a_model_of_the_repository_is_found_by_its_name(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONNXD_MODEL_REPOSITORY", f"{tmp_path / 'none'},{tmp_path}")
    assert keys(Path(model.name))["file"]["value"] == "model.onnx"
    result = explain("nobody")
    assert result.exit_code == 2
    assert "'nobody' is no directory, and no model of that name is in the repository" in result.stderr


def test_what_is_no_model_is_a_mistake_or_says_why(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "no model").mkdir()
    assert explain(tmp_path / "nowhere").exit_code == 2
    assert explain(tmp_path / "no model").exit_code == 2
    result = explain(tmp_path / "empty")
    assert (result.exit_code, "it has no version" in result.stderr) == (1, True)
