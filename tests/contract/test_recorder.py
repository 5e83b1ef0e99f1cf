"""The recorder of a running server, and what reads its files."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import pytest_asyncio

from onnxd.telemetry.record_reader import Recording, open_recording
from onnxd.telemetry.recorder import RecorderConfig
from onnxd_client import AsyncClient, InvalidRequest
from tests.support.graphs import gather, identity
from tests.support.server import RunningServer, publish, running_server
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("recorder")
    for model in ("one", "two", "many", "quiet"):
        publish(root / "models", model, 1, identity(), "max_batch_size: 8\n")
    publish(root / "models", "failing", 1, gather())
    config = RecorderConfig(share=1.0, directory=root / "kept", models=("one", "two", "many", "failing"))
    async with running_server(root / "models", root / "state", recorder=config) as running:
        yield running


def kept(server: RunningServer) -> Path:
    return server.repository.parent / "kept"


async def recorded(server: RunningServer, model: str, count: int) -> Recording:
    found: list[Recording] = []

    async def are_there() -> bool:
        if any(kept(server).iterdir()):
            found[:] = [open_recording(kept(server))]
        return bool(found) and sum(entry.model == model for entry in found[0].entries) >= count

    await until(are_there)
    return found[0]


async def test_requests_of_both_protocols_are_recorded_with_their_answers(server: RunningServer) -> None:
    sent = np.arange(8, dtype=np.float32).reshape(2, 4)
    for url in (server.http, f"grpc://{server.grpc}"):
        async with AsyncClient(url, headers={"x-secret": "hunter2"}) as client:
            await client.infer("one", {"x": sent}, id="r-1")
            await client.infer("quiet", {"x": sent})
            with pytest.raises(InvalidRequest):
                await client.infer("one", {"x": np.zeros((2, 3), np.float32)})

    recording = await recorded(server, "one", 2)

    records = [entry.read() for entry in recording.entries if entry.model == "one"]
    assert [record.version for record in records] == [1, 1]
    for record in records:
        np.testing.assert_array_equal(record.inputs["x"], sent)
        np.testing.assert_array_equal(record.outputs["y"], sent)
        assert 0 < record.compute_ns <= record.total_ns
        assert not record.principal
        assert not record.id
    assert not any(entry.model == "quiet" for entry in recording.entries)
    for file in kept(server).iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert b"hunter2" not in file.read_bytes()


async def test_records_hold_what_each_request_of_a_connection_brought(server: RunningServer) -> None:
    for offset, url in ((100, server.http), (200, f"grpc://{server.grpc}")):
        async with AsyncClient(url, connections=1) as client:
            for number in range(offset, offset + 10):
                await client.infer("many", {"x": np.full((1, 4), number, np.float32)})

    recording = await recorded(server, "many", 20)

    numbers = [*range(100, 110), *range(200, 210)]
    records = [entry.read() for entry in recording.entries if entry.model == "many"]
    assert [record.inputs["x"].tolist() for record in records] == [[[number] * 4] for number in numbers]
    assert [record.outputs["y"].tolist() for record in records] == [[[number] * 4] for number in numbers]


async def test_how_many_were_recorded_is_a_metric(server: RunningServer) -> None:
    async with AsyncClient(server.http) as client:
        await client.infer("two", {"x": np.ones((1, 4), np.float32)})
    await recorded(server, "two", 1)

    async def is_counted() -> bool:
        async with httpx.AsyncClient() as scraper:
            text = (await scraper.get(server.metrics)).text
        return 'onnxd_recorded_requests_total{result="written"} 0' not in text and (
            'onnxd_recorded_requests_total{result="dropped"} 0' in text
        )

    await until(is_counted)


async def test_a_request_that_failed_while_it_ran_is_recorded_with_its_error(server: RunningServer) -> None:
    async with AsyncClient(server.http) as client:
        with pytest.raises(InvalidRequest, match="out of data bounds"):
            await client.infer("failing", {"x": np.array([99], np.int64)})

    recording = await recorded(server, "failing", 1)

    (record,) = [entry.read() for entry in recording.entries if entry.model == "failing"]
    assert (record.error, record.outputs) == ("TensorMismatch", {})
    assert record.inputs["x"].tolist() == [99]
