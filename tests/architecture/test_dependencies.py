"""Each dependency is declared, has its reason, and is new enough."""

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import http_parser

from tests.architecture.sources import imports, python_files
from tests.support.server import ROOT

PROJECTS: Final = ("pyproject.toml", "clients/pyproject.toml", "protos/pyproject.toml")

FLOORS: Final = {
    "aiohttp": "3.14.1",
    "grpcio": "1.78",
    "numpy": "2.0",
    "onnx": "1.21.0",
    "onnxruntime": "1.28.1",
    "protobuf": "6.33.5",
}
"""Below these there are published weaknesses that a client can reach."""

DISTRIBUTIONS: Final = {
    "PIL": "pillow",
    "annotated_types": "annotated-types",
    "google.protobuf": "protobuf",
    "google.rpc": "googleapis-common-protos",
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "ml_dtypes": "ml-dtypes",
    "onnxd_client": "onnxd-client",
    "onnxd_protos": "onnxd-protos",
    "opentelemetry": "opentelemetry-api",
    "opentelemetry.exporter.otlp.proto.grpc": "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry.exporter.otlp.proto.http": "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry.sdk": "opentelemetry-sdk",
    "yaml": "pyyaml",
    # Part of another's interface, and brought by it.
    "multidict": "aiohttp",
    "pydantic_core": "pydantic",
    "requests": "opentelemetry-exporter-otlp-proto-http",
    "yarl": "aiohttp",
}
"""From modules to the distributions that have them, where the names differ; the longest name counts."""


def project(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text())


def name_of(requirement: str) -> str:
    """`tritonclient[grpc,http]>=2.73` is tritonclient."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def declared(path: str, *, groups: bool) -> set[str]:
    """The dependencies that a project names: its own, its extras', and those of its groups."""
    content = project(path)
    lists = [content["project"].get("dependencies", [])]
    lists += content["project"].get("optional-dependencies", {}).values()
    if groups:
        lists += content.get("dependency-groups", {}).values()
    return {name_of(entry) for entries in lists for entry in entries}


def explained() -> set[str]:
    """The names that begin a row of a table in docs/dependencies.md."""
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs/dependencies.md").read_text(), re.MULTILINE)
    return {name_of(name.strip(" `")) for row in rows for name in row.split(",")}


@pytest.mark.parametrize("path", PROJECTS)
def test_every_dependency_has_its_reason(path: str) -> None:
    assert declared(path, groups=True) - explained() == set()


def test_no_reason_is_left_over() -> None:
    wanted = {name for path in PROJECTS for name in declared(path, groups=True)}
    assert explained() - wanted - {"name"} == set()


def distributions(path: Path) -> Iterator[str]:
    """Those that a file of ours needs."""
    for name in imports(path):
        parts = name.split(".")
        prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        yield next((DISTRIBUTIONS[prefix] for prefix in prefixes if prefix in DISTRIBUTIONS), parts[0])


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("pyproject.toml", "server/onnxd"),
        ("pyproject.toml", "sim_core"),
        ("clients/pyproject.toml", "clients/onnxd_client"),
        ("protos/pyproject.toml", "protos/onnxd_protos"),
    ],
)
def test_what_is_imported_is_declared(path: str, folder: str) -> None:
    own = folder.rpartition("/")[2]
    installed = {name_of(name) for names in metadata.packages_distributions().values() for name in names}
    needed = {name_of(name) for file in python_files(folder) for name in distributions(file)}
    assert (needed & installed) - {name_of(own)} - declared(path, groups=False) == set()


@pytest.mark.parametrize("name", FLOORS)
def test_what_is_installed_has_no_known_weakness(name: str) -> None:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", version)]

    assert numbers(metadata.version(name)) >= numbers(FLOORS[name])


def test_the_compiled_http_parser_is_in_use() -> None:
    assert http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy
