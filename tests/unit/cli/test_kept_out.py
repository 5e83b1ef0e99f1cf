"""What the server's process does without."""

import subprocess
import sys

import pytest

_SHOW = """
import sys
from onnxd.cli.main import cli
import click
command = cli.get_command(click.Context(cli), "serve")
import onnxd.cli.running
print(*sorted(sys.modules))
import rich.console  # can be imported all the same
"""


@pytest.fixture(scope="module")
def imported() -> set[str]:
    """The modules of a server before it opens."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        pytest.param("onnx", id="graphs are looked into by the trial's process"),
        pytest.param("rich.console", id="its log has no tracebacks in colour"),
        pytest.param("jwt", id="tokens are for servers that accept them"),
        pytest.param("cryptography", id="likewise"),
        pytest.param("opentelemetry.sdk", id="spans are for servers that export them"),
        pytest.param("prometheus_client", id="metrics are written when they are asked for"),
        pytest.param("onnxd.runtime.examinations", id="examinations are the trial's"),
        pytest.param("onnxd_client", id="it asks nobody"),
    ],
)
def test_a_server_does_not_import_what_it_may_never_need(imported: set[str], module: str) -> None:
    assert "onnxd.app" in imported
    assert module not in imported
