"""Every example of the READMEs, the tutorial and the page of errors, run as it is written, one after the
other, against the server that `make serve` starts."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.examples import Example, examples
from tests.support.graphs import identity
from tests.support.server import ROOT, SHIPPED, ServerProcess, server_process

PAGES = {
    "README": ROOT / "README.md",
    "client README": ROOT / "clients" / "README.md",
    "tutorial": ROOT / "docs" / "tutorial.md",
    "errors": ROOT / "docs" / "faq.md",
}
CASES = [
    pytest.param(example, id=f"{page}-{number}")
    for page, path in PAGES.items()
    for number, example in enumerate(examples(path))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a newcomer stands in: the clone, with a model of their own."""
    clone = tmp_path_factory.mktemp("clone")
    shutil.copytree(SHIPPED, clone / "model_repository")
    shutil.copytree(ROOT / "docs" / "examples", clone / "docs" / "examples")
    (clone / "model.onnx").write_bytes(identity())
    commands = clone / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name in ("onnxd", "grpcurl"):
        (commands / name).symlink_to(Path(sys.executable).parent / name)
    return clone


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server_process(folder / "model_repository", tmp_path_factory.mktemp("state")) as running:
        yield running


def on_its_ports(text: str, server: ServerProcess) -> str:
    http = server.http.removeprefix("http://127.0.0.1:")
    grpc = server.grpc.removeprefix("127.0.0.1:")
    for host in ("localhost", "127.0.0.1"):
        text = text.replace(f"{host}:8000", f"{host}:{http}").replace(f"{host}:8001", f"{host}:{grpc}")
    return text


@pytest.mark.parametrize("example", CASES)
def test_an_example_prints_what_the_page_says(example: Example, folder: Path, server: ServerProcess) -> None:
    source = on_its_ports(example.source, server)
    command = ["bash", "-c", source] if example.language == "console" else [sys.executable, "-c", source]
    environment = {
        **os.environ,
        "ONNXD_URL": server.http,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert example.matches(done.stdout), f"the page says:\n{example.output}\nbut it prints:\n{done.stdout}"


def test_the_pages_have_examples() -> None:
    assert all(len(list(examples(page))) >= 7 for page in PAGES.values())
