"""Records what KServe's own clients send to a server of ours, into exchange.json beside this file.

    python -m venv kserve-environment
    kserve-environment/bin/pip install kserve
    .venv/bin/python -m tests.contract.kserve.record kserve-environment/bin/python

To be repeated when KServe's client changes; test_kserve.py replays what is recorded.
"""

import asyncio
import json
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

from tests.contract.stand import fill, settle
from tests.support.server import running_server

HERE: Final = Path(__file__).parent
EXCHANGE: Final = HERE / "exchange.json"
MODELS: Final = ("rows", "text", "half", "comes_and_goes")
"""What the clients ask, of those in stand.py."""


def version_in(python: Path) -> str:
    """The version of `kserve` in another environment."""
    [packages] = python.absolute().parents[1].glob("lib/python*/site-packages")
    [found] = [each for each in distributions(path=[str(packages)]) if each.metadata["Name"] == "kserve"]
    return found.version


async def record(python: Path) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        fill(root / "models", MODELS)
        async with running_server(root / "models", root / "state") as server:
            await settle(server)
            client = await asyncio.create_subprocess_exec(
                python, str(HERE / "client.py"), server.http, server.grpc, stdout=asyncio.subprocess.PIPE
            )
            output, _ = await client.communicate()
    if client.returncode:
        raise SystemExit(f"the client failed with {client.returncode}")
    exchange: list[Any] = json.loads(output)
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in exchange)
    client_version = json.dumps(f"kserve {version_in(python)}")
    EXCHANGE.write_text(f'{{"client": {client_version}, "exchange": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1])))
