"""What a server has not imported, because nothing that it was asked for needs it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

_ASKED: Final = """
import asyncio, json, sys
from pathlib import Path
from onnxd.grpc_frontend.config import GrpcConfig
from tests.support.graphs import identity
from tests.support.server import publish, running_server

async def main(folder):
    publish(folder / "models", "m", 1, identity())
    async with running_server(folder / "models", folder / "state", grpc=GrpcConfig(port=0)) as running:
        await running.ready("m")
        (folder / "imported").write_text(json.dumps(sorted(sys.modules)))

asyncio.run(main(Path(sys.argv[1])))
"""
_NEVER: Final = {"cryptography", "grpc", "jwt", "opentelemetry.sdk", "prometheus_client", "PIL"}
"""Each is several megabytes."""


def test_a_server_as_it_is_by_default_needs_none_of_what_others_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ASKED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    imported = set(json.loads((tmp_path / "imported").read_text()))
    assert "onnxd" in imported
    assert imported & _NEVER == set()
