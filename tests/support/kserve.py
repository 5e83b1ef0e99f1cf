"""The package `kserve`, in processes of its own: it registers protobuf names that tritonclient has too."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Final

from tests.support.server import ROOT

KSERVE_PROGRAMS: Final[Path] = ROOT / "tests" / "contract" / "kserve"
_PATIENCE_S: Final = 60.0


async def ask_with_kserve(http: str, grpc: str, *model: str) -> dict[str, Any]:
    """What KServe's clients make of a server's answers: see kserve/client.py."""
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", str(KSERVE_PROGRAMS / "client.py"), http, grpc, *model,
        stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    async with asyncio.timeout(_PATIENCE_S):
        output, errors = await client.communicate()
    assert client.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(output)
    return found
