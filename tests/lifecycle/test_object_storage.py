"""A repository in a real S3 server: what is uploaded serves, whatever becomes of the server after that."""

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientSession

from onnxd.app import open_server
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.http_frontend.config import HttpConfig, MetricsConfig
from onnxd.repository.manifest import render_manifest
from onnxd.repository.object_store.bucket import ObjectStorageUnavailable, RemoteBucket
from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.faults import StorageFault
from onnxd.repository.object_store.sync import Sync
from onnxd.repository.object_store.url import parse_url
from onnxd.settings.server_settings import ServerSettings
from onnxd.workers.serving import open_supervised
from onnxd.workers.sockets import HTTP, SharedPorts
from tests.support.graphs import row_constant
from tests.support.object_store import (
    KEY_ID,
    SECRET,
    Storage,
    TestBucket,
    given_credentials,
    s3_server,
)
from tests.support.one_model import answer, until_answer
from tests.support.scraping import Scrape
from tests.support.server import QUICK_WATCH, ROOT, RunningServer, publish, running_server, server_process
from tests.support.until import until

pytestmark = pytest.mark.timeout(120)

FAILURES: Final = "onnxd_object_store_failures_total"


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with s3_server() as started:
        yield started


@pytest.fixture
def bucket(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> TestBucket:
    given_credentials(monkeypatch)
    return storage.bucket()


def quick(storage: Storage, **changes: Any) -> ObjectStoreConfig:
    values: dict[str, Any] = {
        "endpoint": storage.endpoint,
        "allow_http": True,
        "poll_interval": 0.1,
        "settle": 0.02,
        "timeout": 1.0,
    }
    return ObjectStoreConfig(**(values | changes))


@contextlib.asynccontextmanager
async def serving(bucket: TestBucket, tmp_path: Path, **changes: Any) -> AsyncIterator[RunningServer]:
    store = quick(bucket.storage, **changes)
    async with running_server(
        tmp_path, tmp_path / "state", model_repository=(bucket.url,), object_store=store
    ) as server:
        yield server


def settings_of(bucket: TestBucket, tmp_path: Path, *local: Path) -> ServerSettings:
    """Of the bucket, and of directories beside it; for a server that is not ready at once."""
    return ServerSettings(
        model_repository=(*local, bucket.url),
        state_dir=tmp_path / "state",
        http=HttpConfig(port=0),
        grpc=GrpcConfig(port=0),
        metrics=MetricsConfig(port=0),
        watch=QUICK_WATCH,
        object_store=quick(bucket.storage),
    )


def the_sync(server: RunningServer) -> Sync:
    """Of the one repository that is not local."""
    [sync] = server.server.remote.syncs.values()
    return sync


async def looked_again(server: RunningServer) -> None:
    """What is in the bucket now has been looked at, from its beginning."""
    sync = the_sync(server)
    seen = sync.observe().looks
    await until(lambda: sync.observe().looks >= seen + 2)


async def scraped(url: str) -> Scrape:
    async with ClientSession() as session, session.get(url) as response:
        return Scrape.of(await response.text())


async def test_models_are_served_swapped_and_let_go_as_their_objects_come_and_go(
    bucket: TestBucket, tmp_path: Path
) -> None:
    bucket.publish("other", 1, 9)
    async with serving(bucket, tmp_path) as server:
        assert await answer(server, model="other") == 9

        bucket.publish("one", 1, 1)
        await server.ready("one", 1)
        assert await answer(server) == 1

        bucket.publish("one", 2, 2)
        await server.ready("one", 2)
        assert await answer(server) == 2

        # The same bytes again have the same ETag: nothing is downloaded, and nothing is loaded.
        await until(lambda: server.server.lifecycle.loads["success"] == 3)
        downloaded_bytes = the_sync(server).observe().downloaded_bytes
        bucket.publish("one", 2, 2)
        await looked_again(server)
        assert server.server.lifecycle.loads["success"] == 3
        assert the_sync(server).observe().downloaded_bytes == downloaded_bytes

        bucket.delete("one/2/model.onnx")
        await server.ready("one", 1)
        await until_answer(server, 1)
        bucket.delete("one/1/model.onnx")
        await server.gone("one")
        assert await answer(server, model="other") == 9


async def test_an_upload_that_is_not_over_is_not_loaded_and_its_manifest_says_what_is_missing(
    bucket: TestBucket, tmp_path: Path
) -> None:
    async with serving(bucket, tmp_path) as server:
        bucket.publish("one", 1, 1)
        await server.ready("one", 1)
        graph = row_constant(2)
        manifest = render_manifest({"model.onnx": hashlib.sha256(graph).hexdigest()})
        bucket.put("one/2/manifest.yaml", manifest.encode())

        assert "manifest.yaml names 'model.onnx', which is missing" in await server.reason("one", 2)
        assert await answer(server) == 1

        bucket.put("one/2/model.onnx", row_constant(3))
        await until(lambda: the_sync(server).observe().objects == 3)
        assert await answer(server) == 1

        bucket.put("one/2/model.onnx", graph)
        await server.ready("one", 2)
        assert await answer(server) == 2


async def test_a_model_whose_keys_are_no_paths_is_refused_by_name_and_the_others_serve(
    bucket: TestBucket, tmp_path: Path
) -> None:
    bucket.publish("one", 1, 1)
    bucket.publish("evil", 1, 1)
    bucket.put_raw("team/repository/evil/%2e%2e/%2e%2e/%2e%2e/outside", b"x")
    bucket.put("double/1/model.onnx/weights", b"x")
    bucket.put("double/1/model.onnx", b"x")
    async with serving(bucket, tmp_path) as server:
        assert await answer(server) == 1
        assert "can be no path" in await server.reason("evil", None)
        assert "a file and a directory" in await server.reason("double", None)
        assert "outside" not in {name for _, _, names in os.walk(tmp_path) for name in names}


async def test_whatever_becomes_of_the_bucket_what_serves_keeps_serving(
    bucket: TestBucket, tmp_path: Path
) -> None:
    bucket.publish("one", 1, 1)
    async with serving(bucket, tmp_path) as server:
        failures = the_sync(server).observe

        bucket.delete("one/1/model.onnx")
        await until(lambda: failures().failures["emptied"] > 0)
        assert await answer(server) == 1

        bucket.remove()
        await until(lambda: "there is no such bucket" in the_sync(server).trouble)
        assert failures().failures["missing"] > 0
        assert await answer(server) == 1

        page = await scraped(server.metrics)
        assert page.value(FAILURES, repository=bucket.url, reason="missing") > 0
        assert page.value("onnxd_object_store_objects", repository=bucket.url) == 1


async def test_a_store_that_is_silent_costs_nothing_but_time_even_at_the_next_start(
    bucket: TestBucket, tmp_path: Path
) -> None:
    bucket.publish("one", 1, 1)
    async with serving(bucket, tmp_path, timeout=0.3) as server:
        bucket.storage.hang()
        try:
            await until(lambda: the_sync(server).observe().failures["timeout"] > 0)
            assert await answer(server) == 1
        finally:
            bucket.storage.go_on()
        bucket.publish("one", 2, 2)
        await server.ready("one", 2)

    bucket.storage.hang()
    try:
        async with serving(bucket, tmp_path, timeout=0.3) as server:
            assert await answer(server) == 2
            await until(lambda: "did not answer" in the_sync(server).trouble)
    finally:
        bucket.storage.go_on()


async def test_wrong_credentials_name_what_to_set_and_are_nowhere_to_be_seen(
    bucket: TestBucket, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bucket.publish("one", 1, 1)
    async with serving(bucket, tmp_path) as server, ClientSession(server.http) as session:
        bucket.storage.check_credentials(True)
        try:
            await until(lambda: the_sync(server).observe().failures["credentials"] > 0)
        finally:
            bucket.storage.check_credentials(False)
        assert await answer(server) == 1
        told = the_sync(server).trouble or capfd.readouterr().out
        assert "AWS_SECRET_ACCESS_KEY" in told
        seen = [told, caplog.text, json.dumps(list(map(repr, await server.server.lifecycle.index())))]
        for path in ("/v2/models/one/config", "/v2/repository/index", "/metrics", "/v2/health/ready"):
            method = session.post if path.endswith("index") else session.get
            async with method(path) as response:
                seen.append(await response.text())
    seen += capfd.readouterr()
    assert not [text for text in seen if SECRET in text or KEY_ID in text]


async def test_a_store_that_cannot_be_had_at_the_start_is_why_the_server_is_not_ready(
    storage: Storage, bucket: TestBucket, tmp_path: Path
) -> None:
    publish(tmp_path / "local", "two", 1, row_constant(2))
    bucket.publish("one", 1, 1)
    storage.check_credentials(True)
    try:
        async with contextlib.AsyncExitStack() as resources:
            server = await open_server(settings_of(bucket, tmp_path, tmp_path / "local"), resources)
            running = RunningServer(server, tmp_path)
            session = await resources.enter_async_context(ClientSession(running.http))

            async def why_not() -> str:
                async with session.get("/v2/health/ready") as response:
                    assert response.status == 503
                    return await response.text()

            async def is_told() -> bool:
                return "S3 does not take the credentials" in await why_not()

            await until(is_told)
            # What lies here does not wait for what lies there; the server as a whole does.
            await running.ready("two")
            assert not server.lifecycle.started.is_set()

            storage.check_credentials(False)
            await server.lifecycle.started.wait()
            assert await answer(running) == 1
    finally:
        storage.check_credentials(False)


async def test_with_explicit_control_the_start_waits_for_a_prefix_that_is_one_model(
    bucket: TestBucket, tmp_path: Path
) -> None:
    bucket.put("1/model.onnx", row_constant(1))
    settings = replace(
        settings_of(bucket, tmp_path),
        single_model_name="one",
        model_control="explicit",
        load_model=("one",),
        exit_on_error=True,
    )
    async with contextlib.AsyncExitStack() as resources:
        server = await open_server(settings, resources)
        await server.lifecycle.started.wait()

        assert server.lifecycle.failed_at_start == {}
        assert await answer(RunningServer(server, tmp_path)) == 1


async def test_of_several_workers_only_the_supervisor_looks_and_all_serve(
    storage: Storage, bucket: TestBucket, tmp_path: Path
) -> None:
    publish(tmp_path / "local", "two", 1, row_constant(2))
    bucket.publish("one", 1, 1)
    arguments = (
        "--model-repository", bucket.url, "--workers", "2", "--object-store-endpoint", storage.endpoint,
        "--object-store-allow-http", "--object-store-poll-interval", "100ms", "--object-store-settle", "20ms",
        "--watch-scan-interval", "500ms", "--watch-settle", "20ms",
    )  # fmt: skip
    with server_process(tmp_path / "local", tmp_path / "state", *arguments) as server:
        async with ClientSession(server.http) as session:

            async def serves(path: str) -> bool:
                async with session.get(f"/v2/models/{path}/ready") as response:
                    return response.status == 200

            assert await serves("one")
            assert await serves("two")
            bucket.publish("one", 2, 2)
            await until(lambda: serves("one/versions/2"))
            page = await scraped(f"{server.http}/metrics")

        objects = bucket.sizes()
        assert page.value("onnxd_object_store_objects", repository=bucket.url) == len(objects) == 2
        assert page.value("onnxd_object_store_downloaded_bytes_total", repository=bucket.url) == sum(objects)
        assert SECRET not in "".join(server.log)


async def test_the_program_of_the_documentation_publishes_a_model(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/object-storage.md").read_text(), re.DOTALL)
    bucket = storage.bucket("models")
    bucket.prefix = "team"
    publish(tmp_path / "build", "digits", 1, row_constant(1), "max_batch_size: 8\n")
    given_credentials(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", storage.endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("PATH", os.path.dirname(sys.executable), prepend=os.pathsep)
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", program], cwd=tmp_path, check=True)

    async with serving(bucket, tmp_path) as server:
        assert await answer(server, model="digits") == 1
        assert sorted(bucket.keys()) == ["digits/1/model.onnx", "digits/config.yaml", "digits/manifest.yaml"]


async def test_workers_say_what_the_supervisor_waits_for(
    storage: Storage, bucket: TestBucket, tmp_path: Path
) -> None:
    bucket.publish("one", 1, 1)
    settings = replace(settings_of(bucket, tmp_path), workers=2)
    storage.check_credentials(True)
    try:
        with SharedPorts(settings, 2) as ports:
            async with contextlib.AsyncExitStack() as resources:
                parts = await open_supervised(settings, 2, resources, ports)
                await parts.workers.all_listen()
                url = f"http://127.0.0.1:{ports.ports[HTTP].number}"

                async def is_told() -> bool:
                    async with ClientSession(url) as session, session.get("/v2/health/ready") as response:
                        assert response.status == 503
                        return "S3 does not take the credentials" in await response.text()

                await until(is_told)
                storage.check_credentials(False)
                await parts.lifecycle.started.wait()
                await parts.crew.open()
                await parts.crew.settled()
                async with ClientSession(url) as session, session.get("/v2/health/ready") as response:
                    assert response.status == 200
    finally:
        storage.check_credentials(False)


def test_without_the_package_the_server_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)

    with pytest.raises(ObjectStorageUnavailable, match=r"pip install 'onnxd\[object-storage\]'"):
        RemoteBucket(parse_url("s3://models/a"), ObjectStoreConfig())


@pytest.mark.parametrize("url", ["gs://elsewhere/a", "az://elsewhere/a"])
async def test_the_other_providers_are_asked_in_the_same_way(
    url: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of theirs runs here: that a request goes out, to the endpoint, is what can be seen."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    bucket = RemoteBucket(parse_url(url), quick(storage, anonymous=True))

    with pytest.raises(StorageFault) as caught:
        await bucket.listing()

    assert caught.value.reason != "unreachable"
    assert url in caught.value.message
