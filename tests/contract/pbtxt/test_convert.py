"""`onnxd convert`: the config.yaml that it writes says what the config.pbtxt said."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from onnxd.errors import LoadFailed
from onnxd.repository.config_file import LoadedConfig, parse_model_config
from onnxd.repository.model_spec import merge
from onnxd.repository.pbtxt.converted import convert
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from tests.contract.pbtxt.case import Case, Refuses
from tests.contract.pbtxt.cases import CASES
from tests.contract.pbtxt.conftest import write

MODEL = "m"
SHORT = "output.label_filename too short"
"""Triton takes any number of labels; a config.yaml is held to as many as there are classes."""


def converts(case: Case) -> bool:
    """Refusals that only the graph or the machine gives rise to are none of the conversion's."""
    try:
        translate(parse_text(text_of(case), "config.pbtxt"), MODEL, gpus=0)
    except LoadFailed:
        return False
    return True


def text_of(case: Case) -> bytes:
    return case.text.replace("{model}", MODEL).encode()


CONVERTED = [case for case in CASES if converts(case)]
REFUSED = [case for case in CASES if not converts(case)]
LOADED = [case for case in CONVERTED if not isinstance(case.outcome, Refuses) and case.id != SHORT]


def from_pbtxt(case: Case) -> LoadedConfig:
    return translate(parse_text(text_of(case), "config.pbtxt"), MODEL, gpus=0)


def from_yaml(case: Case) -> LoadedConfig:
    text = convert(parse_text(text_of(case), "config.pbtxt"), MODEL, gpus=0).text
    return parse_model_config(text.encode())


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.id)
def test_both_files_are_the_same_config(case: Case) -> None:
    assert from_yaml(case).config == from_pbtxt(case).config


@pytest.mark.parametrize("case", LOADED, ids=lambda case: case.id)
def test_both_files_make_the_same_model_of_a_graph(case: Case, tmp_path: Path) -> None:
    write(tmp_path, case)
    graph = OnnxSession.open(tmp_path / "1/model.onnx", SessionConfig(), 1).graph
    labels = {
        output: (tmp_path / file).read_text().splitlines()
        for output, file in from_yaml(case).config.label_files.items()
    }
    specs = [merge(MODEL, 1, loaded, graph, labels) for loaded in (from_yaml(case), from_pbtxt(case))]
    assert specs[0] == specs[1]


@pytest.mark.parametrize("case", CONVERTED, ids=lambda case: case.id)
def test_what_is_left_out_stands_in_a_comment(case: Case) -> None:
    converted = convert(parse_text(text_of(case), "config.pbtxt"), MODEL, gpus=0)
    comments = [line for line in converted.text.splitlines() if line.startswith("# Note: ")]
    assert len(comments) == len(converted.left_out) == len(from_pbtxt(case).warnings)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_cannot_be_served_is_not_converted(case: Case) -> None:
    with pytest.raises(LoadFailed):
        convert(parse_text(text_of(case), "config.pbtxt"), MODEL, gpus=0)


def test_texts_that_look_like_something_else_stay_texts() -> None:
    names = [
        "no",
        "1.10",
        "0x10",
        "2024-01-01",
        "~",
        "a: b",
        "#",
        "é\t",
        "'\"",
        "",
        "&x",
        "*x",
        "!!tag",
        "1:30",
    ]
    text = "".join(
        f'parameters {{ key: "k{index}" value {{ string_value: {name!r} }} }}\n'
        for index, name in enumerate(names)
    )
    loaded = parse_model_config(
        convert(parse_text(text.encode(), "config.pbtxt"), MODEL, gpus=0).text.encode()
    )
    assert [loaded.config.parameters[f"k{index}"] for index in range(len(names))] == names


# The command.


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["convert", *arguments])


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in ("sound", "faulty"):
        (tmp_path / name).mkdir()
    (tmp_path / "sound" / "config.pbtxt").write_text(
        'name: "sound" max_batch_size: 8 response_cache { enable: true }'
    )
    (tmp_path / "faulty" / "config.pbtxt").write_text("\nmax_batch_sise: 8")
    (tmp_path / "plain").mkdir()
    return tmp_path


def test_a_models_config_is_printed(repository: Path) -> None:
    result = run(str(repository / "sound"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert yaml.safe_load(result.stdout) == {"max_batch_size": 8}
    assert "# Note: response_cache.enable: has no effect: answers are not cached\n" in result.stdout
    assert not (repository / "sound" / "config.yaml").exists()


def test_a_repository_is_converted_model_by_model_and_faults_are_told_with_their_place(
    repository: Path,
) -> None:
    result = run(str(repository), "--write")
    assert result.exit_code == 1
    assert result.stdout == f"{repository / 'sound' / 'config.yaml'}\n"
    place = f"{repository / 'faulty' / 'config.pbtxt'}:2:1"
    assert result.stderr == f"{place}: unknown field 'max_batch_sise'; did you mean max_batch_size?\n"
    written = (repository / "sound" / "config.yaml").read_bytes()
    assert parse_model_config(written).config.max_batch_size == 8
    assert not (repository / "faulty" / "config.yaml").exists()


def test_a_config_yaml_that_is_there_is_left_alone(repository: Path) -> None:
    target = repository / "sound" / "config.yaml"
    target.write_text("instances: 3\n")
    result = run(str(repository / "sound"), "--write")
    assert result.exit_code == 2
    assert f"{target} is there already" in result.stderr
    assert target.read_text() == "instances: 3\n"


def test_a_directory_without_any_is_a_mistake(repository: Path) -> None:
    result = run(str(repository / "plain"))
    assert result.exit_code == 2
    assert "has no config.pbtxt, nor has any directory in it" in result.stderr


def test_the_directorys_name_is_the_models_even_from_inside(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository / "sound")
    assert run(".").exit_code == 0
