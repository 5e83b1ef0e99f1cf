"""One server over all generated models, shared by the tests that only look."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from onnxd.repository.catalog import ModelState
from tests.contract.pbtxt.case import Case, Seen
from tests.contract.pbtxt.cases import CASES
from tests.support.server import RunningServer, running_server


@dataclass(slots=True)
class Loaded:
    """The server after it has tried every case."""

    running: RunningServer
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """What was logged of each model's config."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why each model that does not serve does not."""

    async def seen(self, case: Case) -> Seen:
        name = name_of(case)
        url = f"{self.running.http}/v2/models/{name}/config"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            shown = await response.json()
        return Seen(self.running.server.inference.served(name, None), shown)


def name_of(case: Case) -> str:
    return f"model{CASES.index(case)}"


def write(directory: Path, case: Case) -> None:
    """The model's directory, as Triton has it."""
    files = {
        "1/model.onnx": case.graph,
        **case.files,
        "config.pbtxt": case.text.replace("{model}", directory.name).encode(),
    }
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    for case in CASES:
        write(root / name_of(case), case)
    return root


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def loaded(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Loaded]:
    with capture_logs() as events:
        async with running_server(
            repository, tmp_path_factory.mktemp("state"), model_control="none"
        ) as running:
            result = Loaded(running)
            for event in events:
                if event["event"] == "config":
                    result.warnings.setdefault(event["model"], []).append(event["warning"])
            result.reasons = {
                entry.name: entry.reason
                for entry in await running.server.lifecycle.index()
                if entry.state is not ModelState.READY
            }
            yield result
