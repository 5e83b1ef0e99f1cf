"""What a load with a config and files of its own does, and how it is undone."""

import asyncio
import json
import shutil
from typing import Any, Final

import numpy as np
import pytest
import pytest_asyncio

from onnxd.errors import LoadFailed
from onnxd.messages import InferRequest
from onnxd.protocol.config_document import config_document
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.tensors import Array
from tests.contract.overrides.conftest import Client, digest_of, tree
from tests.contract.wire_client import Kind, Refused, Request
from tests.support.graphs import row_constant, save_with_external_data, slow_always
from tests.support.server import RunningServer, publish
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {"model_overrides": True}
BATCHED: Final = json.dumps({"max_batch_size": 8})


def files(number: int, version: int = 1) -> dict[str, bytes]:
    return {f"file:{version}/model.onnx": row_constant(number)}


async def answer(client: Client, model: str) -> int:
    reply = await client.infer(model, Request({"x": np.zeros((1, 4), np.float32)}))
    return int(reply.outputs["y"].flat[0])


@pytest_asyncio.fixture(loop_scope="module")
async def name(server: RunningServer, request: pytest.FixtureRequest) -> str:
    """A model of the test's own in the repository; it answers 1."""
    own = f"own{abs(hash(request.node.name)) % 10**9}"
    publish(server.repository, own, 1, row_constant(1), "max_batch_size: 8\n")
    await server.ready(own)
    return own


async def test_a_config_replaces_the_repositorys_until_the_next_load(
    client: Client, server: RunningServer, name: str
) -> None:
    await client.load(name, config='{"max_batch_size": 4, "dynamic_batching": {}}')
    assert (await client.config(name)).max_batch_size == 4
    assert await answer(client, name) == 1
    await client.load(name)
    assert (await client.config(name)).max_batch_size == 8


async def test_a_config_always_loads_anew(client: Client, server: RunningServer, name: str) -> None:
    served = []
    for _ in range(2):
        await client.load(name, config=BATCHED)
        served.append(server.server.inference.served(name, None))
    assert served[0] is not served[1]


async def test_64_bit_integers_may_be_numbers_or_texts(
    client: Client, server: RunningServer, name: str
) -> None:
    for delay in (1500, "1500"):
        config = {"max_batch_size": 8, "dynamic_batching": {"max_queue_delay_microseconds": delay}}
        await client.load(name, config=json.dumps(config))
        assert server.server.inference.served(name, None).config.batching.max_queue_delay == 0.0015


async def test_the_configuration_that_is_answered_can_be_loaded(
    client: Client, server: RunningServer, name: str
) -> None:
    await client.load(name, config='{"max_batch_size": 8, "parameters": {"a": {"string_value": "b"}}}')
    served = server.server.inference.served(name, None)
    await client.load(name, config=json.dumps(config_document(served.triton_config())))
    again = server.server.inference.served(name, None)
    assert again is not served
    assert again.triton_config() == served.triton_config()


async def test_files_stand_in_for_the_repositorys(client: Client, server: RunningServer, name: str) -> None:
    publish(server.repository, name, 3, row_constant(3))
    await server.ready(name, 3)
    await client.load(name, config=BATCHED, files=files(7, version=2))
    assert await answer(client, name) == 7
    assert server.server.inference.versions(name) == (2,)
    await client.load(name)
    assert await answer(client, name) == 3
    assert server.server.inference.versions(name) == (3,)


async def test_the_config_chooses_among_the_versions_that_were_brought(
    client: Client, server: RunningServer
) -> None:
    config = json.dumps({"max_batch_size": 8, "version_policy": {"specific": {"versions": [1, "3"]}}})
    brought = {**files(1, 1), **files(2, 2), **files(3, 3)}
    await client.load("several", config=config, files=brought)
    assert server.server.inference.versions("several") == (1, 3)
    await client.unload("several")


async def test_a_model_need_not_be_in_the_repository(client: Client, server: RunningServer) -> None:
    await client.load("guest", config=BATCHED, files=files(9))
    assert await answer(client, "guest") == 9
    # Looks at the disk do not end it: this one is over when what it saw serves.
    publish(server.repository, "marker", 1, row_constant(1))
    await server.ready("marker")
    assert await answer(client, "guest") == 9
    shutil.rmtree(server.repository / "marker")
    await server.gone("marker")
    assert await answer(client, "guest") == 9
    with pytest.raises(Refused) as caught:
        await client.load("guest")
    assert caught.value.kind is Kind.NOT_FOUND
    assert await answer(client, "guest") == 9
    await client.unload("guest")
    with pytest.raises(Refused) as caught:
        await answer(client, "guest")
    assert caught.value.kind in (Kind.NOT_FOUND, Kind.UNAVAILABLE)


async def test_a_directory_of_that_name_takes_over(client: Client, server: RunningServer) -> None:
    await client.load("later", config=BATCHED, files=files(9))
    publish(server.repository, "later", 1, row_constant(4), "max_batch_size: 8\n")
    await until_answers(client, "later", 4)
    shutil.rmtree(server.repository / "later")
    await server.gone("later")


async def test_a_change_of_the_files_undoes_it(client: Client, server: RunningServer, name: str) -> None:
    await client.load(name, config=BATCHED, files=files(7))
    publish(server.repository, name, 1, row_constant(5))
    await until_answers(client, name, 5)


async def test_one_that_is_refused_leaves_an_earlier_one_as_it_was(
    client: Client, server: RunningServer
) -> None:
    await client.load("guest", config=BATCHED, files=files(9))
    for config in ('{"max_batch_size": 9999999}', '{"input": [{"name": "z"}]}'):
        with pytest.raises(Refused):
            await client.load("guest", config=config, files=files(8))
    publish(server.repository, "marker", 1, row_constant(1))
    await server.ready("marker")
    assert await answer(client, "guest") == 9
    await client.unload("guest")
    shutil.rmtree(server.repository / "marker")
    await server.gone("marker")


async def test_a_refused_one_does_not_keep_changed_files_from_loading(
    client: Client, server: RunningServer, name: str
) -> None:
    publish(server.repository, name, 1, row_constant(6))
    with pytest.raises(Refused):
        await client.load(name, config='{"input": [{"name": "z"}]}')
    await until_answers(client, name, 6)


async def test_of_a_good_one_and_a_bad_one_at_once_the_last_one_decides(
    client: Client, server: RunningServer, name: str
) -> None:
    lifecycle = server.server.lifecycle
    good = LoadOverride(BATCHED, {"1/model.onnx": row_constant(7)})
    bad = LoadOverride(BATCHED, {"1/model.onnx": b"no graph"})
    results = await asyncio.gather(
        lifecycle.load(name, good), lifecycle.load(name, bad), return_exceptions=True
    )
    # Which one is last is the threads' affair; both callers hear what became of it, or of their own.
    assert all(result is None or isinstance(result, LoadFailed) for result in results)
    assert await answer(client, name) in (1, 7)
    await client.load(name)
    assert await answer(client, name) == 1


async def test_labels_and_weights_come_as_files_too(
    client: Client, server: RunningServer, tmp_path: Any
) -> None:
    save_with_external_data(tmp_path / "model.onnx")
    config = {"max_batch_size": 8, "output": [{"name": "y", "label_filename": "labels.txt"}]}
    brought = {
        "file:1/model.onnx": (tmp_path / "model.onnx").read_bytes(),
        "file:1/model.onnx.data": (tmp_path / "model.onnx.data").read_bytes(),
        "file:labels.txt": b"\n".join(b"%d" % number for number in range(64)),
    }
    await client.load("weighty", config=json.dumps(config), files=brought)
    reply = await client.infer("weighty", Request({"x": np.eye(1, 64, dtype=np.float32)}, classes={"y": 1}))
    assert reply.outputs["y"].tolist() == [[b"1.000000:0:0"]]
    await client.unload("weighty")


async def test_nothing_of_it_stays_in_the_state_directory(client: Client, server: RunningServer) -> None:
    graph = row_constant(12345)

    def kept() -> bool:
        return digest_of(graph) in tree(server.repository.parent / "state").values()

    await client.load("passing", config=BATCHED, files={"file:1/model.onnx": graph})
    assert kept()
    await client.unload("passing")
    await until(lambda: not kept())


# H3, H6: what happens at the same time.


async def test_H3_of_two_loads_at_once_the_last_one_holds(
    client: Client, server: RunningServer, name: str
) -> None:
    async with asyncio.TaskGroup() as loads:
        for number in (7, 8, 9):
            loads.create_task(client.load(name, config=BATCHED, files=files(number)))
            await asyncio.sleep(0)
    assert await answer(client, name) in (7, 8, 9)
    await client.load(name)
    assert await answer(client, name) == 1


async def test_H3_an_unload_after_a_load_holds(client: Client, server: RunningServer, name: str) -> None:
    lifecycle = server.server.lifecycle
    async with asyncio.TaskGroup() as wishes:
        wishes.create_task(lifecycle.load(name))
        wishes.create_task(lifecycle.unload(name))
    await client.unload(name)
    assert not await client.model_ready(name)
    await client.load(name, config=BATCHED)
    assert await answer(client, name) == 1


async def test_H6_requests_in_flight_outlive_an_unload(client: Client, server: RunningServer) -> None:
    await client.load("slow", config="{}", files={"file:1/model.onnx": slow_always(100_000)})
    served = server.server.inference.served("slow", None)
    x: dict[str, Array] = {"x": np.ones((1, 64), np.float32)}
    running = asyncio.ensure_future(server.server.inference.infer(InferRequest("slow", x)))
    await until(lambda: served.batcher.running == 1)
    await client.unload("slow")
    with pytest.raises(Refused) as caught:
        await client.infer("slow", Request(x))
    assert caught.value.kind in (Kind.NOT_FOUND, Kind.UNAVAILABLE)
    assert (await running).outputs["y"].tolist() == np.ones((1, 64)).tolist()


async def until_answers(client: Client, model: str, expected: int) -> None:
    async def answers() -> bool:
        return await answer(client, model) == expected

    await until(answers)
