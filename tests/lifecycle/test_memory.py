"""What models take of memory: shown everywhere, and refused before it is too much."""

from pathlib import Path

import httpx
import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.memory_ledger import MemoryConfig
from onnxd_client import AsyncClient
from tests.support.graphs import add_one, big, mlp
from tests.support.scraping import Scrape
from tests.support.server import publish, running_server
from tests.support.until import until

MIB = 2**20


async def test_what_a_version_holds_is_in_the_index_the_metrics_and_the_statistics(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    publish(repository, "big", 1, mlp((512, 4096, 512)))
    async with running_server(repository, tmp_path / "state") as server, AsyncClient(server.http) as client:
        (entry,) = await client.repository.index()
        assert entry.memory.keys() == {"peak_bytes", "resident_bytes"}
        assert entry.memory["peak_bytes"] >= entry.memory["resident_bytes"] > 8 * MIB
        async with httpx.AsyncClient() as http:
            seen = Scrape.of((await http.get(server.metrics)).text)
        for kind in ("peak", "resident"):
            value = seen.value("onnxd_model_memory_bytes", model="big", kind=kind)
            assert value == entry.memory[f"{kind}_bytes"]
        for url in (server.http, f"grpc://{server.grpc}"):
            async with AsyncClient(url) as other:
                (statistics,) = await other.statistics("big")
                (usage,) = statistics["memory_usage"]
                assert int(usage["byte_size"]) == entry.memory["resident_bytes"]


async def test_after_an_unload_the_index_says_what_came_back(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    publish(repository, "big", 1, mlp((512, 4096, 512)))
    async with running_server(repository, tmp_path / "state") as server, AsyncClient(server.http) as client:
        await client.repository.unload("big")

        async def returned() -> bool:
            (entry,) = await client.repository.index()
            return entry.memory.keys() == {"returned_bytes"}

        await until(returned)
        async with AsyncClient(f"grpc://{server.grpc}") as other:
            (entry,) = await other.repository.index()
            assert (entry.name, entry.memory) == ("big", {})


async def test_a_load_that_would_not_fit_is_refused_before_it_starts(tmp_path: Path) -> None:
    repository = tmp_path / "models"
    publish(repository, "small", 1, add_one())
    memory = MemoryConfig(budget=64 * MIB)
    async with running_server(repository, tmp_path / "state", memory=memory) as server:
        publish(repository, "big", 1, big(32))
        reason = await server.reason("big", 1)
        assert "it needs about 80 MiB (2.5 times its files of 32 MiB)" in reason
        assert "models may hold 64 MiB (the setting memory.budget)" in reason
        assert "small version 1" in reason
        with pytest.raises(LoadFailed, match="failed to load 'big': it does not fit into memory"):
            await server.server.lifecycle.load("big")
        await server.ready("small")
