"""Other people's models answer through the server as they do in plain ONNX Runtime, over every wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton_grpc
import tritonclient.http.aio as triton_http

from tests.interop.models import MODELS, labels, write_repository
from tests.interop.preprocess import Arrays, conversation, hold_async, input_files
from tests.interop.reference import assert_same_answers, reference_answers, run
from tests.support.server import RunningServer, running_server

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    # tritonclient hands aiohttp its bodies as they are.
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

Infer = Callable[[str, Arrays], Awaitable[Arrays]]
"""Asks a model, by its name, over one wire; all its outputs."""

BATCHING: Final = ("magika", "rapidocr")
WIRES: Final = ("HTTP-JSON", "HTTP-binary", "gRPC")
DATATYPES: Final = {"float32": "FP32", "int32": "INT32", "int64": "INT64"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """One server with the three models."""
    root = tmp_path_factory.mktemp("interop")
    for name in MODELS:
        write_repository(root / "models", name)
    async with running_server(root / "models", root / "state") as running:
        for name in MODELS:
            await running.ready(name)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wires(server: RunningServer) -> AsyncIterator[Mapping[str, Infer]]:
    """A way to ask over each wire."""
    async with AsyncExitStack() as clients:
        http = await clients.enter_async_context(
            triton_http.InferenceServerClient(server.http.removeprefix("http://"))
        )
        grpc = await clients.enter_async_context(triton_grpc.InferenceServerClient(server.grpc))
        yield {
            "HTTP-JSON": over_http(http, binary=False),
            "HTTP-binary": over_http(http, binary=True),
            "gRPC": over_grpc(grpc),
        }


def over_http(client: Any, *, binary: bool) -> Infer:
    async def infer(name: str, arrays: Arrays) -> Arrays:
        inputs = []
        for key, array in arrays.items():
            inputs.append(triton_http.InferInput(key, list(array.shape), DATATYPES[array.dtype.name]))
            inputs[-1].set_data_from_numpy(array, binary_data=binary)
        outputs = [triton_http.InferRequestedOutput(key, binary_data=binary) for key in output_names(name)]
        result = await client.infer(name, inputs, outputs=outputs)
        return {key: result.as_numpy(key) for key in output_names(name)}

    return infer


def over_grpc(client: Any) -> Infer:
    async def infer(name: str, arrays: Arrays) -> Arrays:
        inputs = []
        for key, array in arrays.items():
            inputs.append(triton_grpc.InferInput(key, list(array.shape), DATATYPES[array.dtype.name]))
            inputs[-1].set_data_from_numpy(array)
        result = await client.infer(name, inputs)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}

    return infer


def output_names(name: str) -> list[str]:
    return list(reference_answers(name, input_files(name)[0])[0])


async def ask_about_all(infer: Infer, name: str, *, side_by_side: int) -> dict[Path, list[Arrays]]:
    """The answers about every committed input: a file's requests in order, some files at a time."""
    room = asyncio.Semaphore(side_by_side)

    async def ask_about(path: Path) -> list[Arrays]:
        async with room:
            return await hold_async(name, path, lambda inputs: infer(name, inputs))

    paths = input_files(name)
    async with asyncio.TaskGroup() as group:
        tasks = {path: group.create_task(ask_about(path)) for path in paths}
    return {path: task.result() for path, task in tasks.items()}


@cache
def reference_in_company(name: str, path: Path) -> list[Arrays]:
    """Plain ONNX Runtime's answer about a file whose row does not run alone.

    ONNX Runtime multiplies one row with another kernel than several, and magika enlarges the last bits'
    difference to 1e-4 in one of our files; whichever and however many the other rows are, it is the same.
    """
    request = next(conversation(name, path))
    twice = run(name, {key: np.concatenate([array, array]) for key, array in request.items()})
    return [{key: array[:1] for key, array in twice.items()}]


def same_answers(expected: list[Arrays], answers: list[Arrays]) -> bool:
    try:
        assert_same_answers(expected, answers)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", MODELS)
async def test_every_committed_input_is_answered_as_by_plain_onnx_runtime(
    wires: Mapping[str, Infer], name: str, wire: str
) -> None:
    answers = await ask_about_all(wires[wire], name, side_by_side=1 if name in BATCHING else 8)

    assert len(answers) >= 20
    for path, answer in answers.items():
        assert_same_answers(reference_answers(name, path), answer)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", BATCHING)
async def test_every_committed_input_is_answered_as_well_in_a_batch(
    server: RunningServer, wires: Mapping[str, Infer], name: str, wire: str
) -> None:
    statistics = server.server.inference.served(name, None).statistics
    before = statistics.snapshot()
    answers = await ask_about_all(wires[wire], name, side_by_side=8)
    after = statistics.snapshot()

    for path, answer in answers.items():
        if not same_answers(reference_answers(name, path), answer):
            assert_same_answers(reference_in_company(name, path), answer)
    requests = after.inference_count - before.inference_count
    runs = after.execution_count - before.execution_count
    assert requests == len(input_files(name))
    if name == "magika":  # whose rows are all of one shape
        assert runs < requests


@pytest.mark.parametrize("wire", WIRES)
async def test_five_files_in_one_request_are_five_rows_of_its_answer(
    wires: Mapping[str, Infer], wire: str
) -> None:
    rows = [next(conversation("magika", path))["bytes"] for path in input_files("magika")[:5]]

    together = await wires[wire]("magika", {"bytes": np.concatenate(rows)})

    assert_same_answers([run("magika", {"bytes": np.concatenate(rows)})], [together])


async def test_the_label_of_a_file_comes_with_its_score(server: RunningServer) -> None:
    path = next(path for path in input_files("magika") if path.stem == "python")
    array = next(conversation("magika", path))["bytes"]
    async with triton_http.InferenceServerClient(server.http.removeprefix("http://")) as client:
        query = triton_http.InferInput("bytes", list(array.shape), "INT32")
        query.set_data_from_numpy(array)
        wanted = triton_http.InferRequestedOutput("target_label", class_count=1)
        result = await client.infer("magika", [query], outputs=[wanted])

    [[best]] = result.as_numpy("target_label")
    score, index, label = best.decode().split(":")

    [reference] = reference_answers("magika", path)
    assert label == labels("magika")[int(index)] == "python"
    assert float(score) == pytest.approx(float(reference["target_label"].max()), abs=1e-5)
