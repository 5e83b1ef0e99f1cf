"""The JSON Schema that editors use, the reader, and the documentation say the same."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import parse_model_config
from onnxd.repository.config_schema import main, model_schema, schema_text

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "config" / "model.schema.json"
PAGE = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
DESIGN_EXAMPLE = """
max_batch_size: 32
inputs:
  - {name: image, datatype: FP32, shape: [64]}
outputs:
  - {name: scores, datatype: FP32, shape: [10], labels: labels.txt}
providers: [CUDAExecutionProvider, CPUExecutionProvider]
require_provider: CUDAExecutionProvider
instances: 1
session:
  {intra_op_threads: 2, inter_op_threads: 1, execution_mode: sequential, graph_optimization: all, options: {}}
batching:
  max_queue_delay: 0ms
  max_queue_size: 1024
  default_timeout: 0ms
versions: {latest: 1}
warmup: {batch_sizes: [1, 32]}
"""
VALIDATOR = jsonschema.Draft202012Validator(model_schema())


def properties(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every key of a config with its schema: inputs[].name."""
    for name, value in schema.get("properties", {}).items():
        here = f"{path}{name}"
        yield here, value
        inner = value.get("items", value)
        mark = "[]" if "items" in value else ""
        if "$ref" in inner:
            definition = model_schema()["$defs"][inner["$ref"].rsplit("/", 1)[1]]
            yield from properties(definition, f"{here}{mark}.")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def read_by_us(text: str) -> bool:
    try:
        parse_model_config(text.encode())
    except LoadFailed:
        return False
    return True


def test_the_committed_schema_is_what_the_types_say() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == schema_text()


def test_the_schema_is_a_valid_one_whose_defaults_fit() -> None:
    jsonschema.Draft202012Validator.check_schema(model_schema())
    for key, schema in properties(model_schema()):
        if "default" in schema:
            VALIDATOR.evolve(schema={**schema, "$defs": model_schema()["$defs"]}).validate(schema["default"])
            assert schema["default"] is not None, key


def test_every_key_has_a_description_and_a_row_in_the_documentation() -> None:
    definitions = model_schema()["$defs"]
    for key, schema in properties(model_schema()):
        section = "$ref" in schema and "properties" in definitions[schema["$ref"].rsplit("/", 1)[1]]
        assert section or schema.get("description"), key
        assert section or f"| `{key}` |" in PAGE, key


def test_the_documentation_has_no_row_for_a_key_that_does_not_exist() -> None:
    documented = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
    assert set(documented) <= {key for key, _ in properties(model_schema())}
    assert len(documented) == len(set(documented))


SHIPPED = [path.read_text(encoding="utf-8") for path in ROOT.glob("model_repository/*/config.yaml")]


@pytest.mark.parametrize("text", [DESIGN_EXAMPLE, *blocks("yaml"), *SHIPPED])
def test_an_example_is_valid_for_editors_and_for_the_server(text: str) -> None:
    VALIDATOR.validate(yaml.safe_load(text))
    assert read_by_us(text)


def test_the_messages_in_the_documentation_are_real() -> None:
    faulty = "# c\nmax_batch_size: ten\nbatching:\n  max_queue_dealy: 2ms\n  default_timeout: 0.5\n"
    with pytest.raises(LoadFailed) as caught:
        parse_model_config(faulty.encode())
    assert f"{caught.value.message}\n" == blocks("text")[0]


@pytest.mark.parametrize(
    "text",
    [
        "max_batch_size: -1",
        "max_batch_size: '4'",
        "instances: 65",
        "description: 1",
        "file: ../x",
        "inputs: [{shape: [1]}]",
        "inputs: [{name: x, datatype: float}]",
        "session: {options: {ep.context_enable: '1'}}",
        "session: {graph_optimization: most}",
        "batching: {max_queue_delay: 5}",
        "batching: {max_queue_delay: 0.5}",
        "batching: {max_queue_delay: 5 days}",
        "providers: []",
        "versions: latest",
        "versions: [0]",
        "versions: {latest: 1, only: 2}",
        "warmup: {sizes: [1]}",
        "bogus: 1",
    ],
)
def test_what_the_server_refuses_editors_mark_too(text: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
    assert not read_by_us(text)


def test_the_command_writes_the_file_and_notices_one_that_is_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "schema.json"
    assert main(["--check", str(path)]) == 1
    assert main([str(path)]) == 0
    assert main(["--check", str(path)]) == 0
    assert json.loads(path.read_text()) == model_schema()
    path.write_text("{}")
    assert main(["--check", str(path)]) == 1
    assert "make schema" in capsys.readouterr().err
    assert main(["a", "b"]) == 2
