"""The JSON Schema of config.yaml, for editors: written from the types, and checked against what is committed.

`python -m onnxd.repository.config_schema [--check] [FILE]`, in the project's root when FILE is left out.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from onnxd.repository.config_file import document_type

_COMMITTED: Final = Path("config", "model.schema.json")
_SIZES: Final = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}


def model_schema() -> dict[str, Any]:
    """The schema as editors read it: defaults are written as a file would write them."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **json.loads(json.dumps(document_type().schema)),
    }
    schema["title"] = "config.yaml of a model served by onnxd"
    for definition in (schema, *schema["$defs"].values()):
        for value in definition.get("properties", {}).values():
            if "default" in value:
                value["default"] = _as_written(value)
    return schema


def schema_text() -> str:
    """The committed file's content."""
    return json.dumps(model_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or with --check only compare it. Returns the process's exit code."""
    check = "--check" in arguments
    files = [Path(argument) for argument in arguments if argument != "--check"]
    if len(files) > 1:
        sys.stderr.write("usage: python -m onnxd.repository.config_schema [--check] [FILE]\n")
        return 2
    path = files[0] if files else _COMMITTED
    text = schema_text()
    if not check:
        path.write_text(text, encoding="utf-8")
    elif not path.is_file() or path.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{path} is not what the types say; run `make schema`\n")
        return 1
    return 0


def _as_written(schema: dict[str, Any]) -> Any:
    default = schema["default"]
    if isinstance(default, float) and schema.get("type") == "string":
        return f"{default * 1000:g}ms"
    if isinstance(default, int) and "anyOf" in schema:
        return next(
            (f"{default // size}{unit}" for unit, size in _SIZES.items() if default and default % size == 0),
            default,
        )
    return default


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
