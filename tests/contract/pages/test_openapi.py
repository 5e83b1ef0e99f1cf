"""The description of the API: it is one, it is complete, its examples work, and what is made from it too."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV30SpecValidator
from schemathesis.core.result import Ok

from onnxd.http_frontend.openapi.document import describe
from onnxd.http_frontend.openapi.model_operation import (
    MOST_EXAMPLE_ELEMENTS,
    example,
    example_command,
)
from onnxd.http_frontend.openapi.operations import OPERATIONS, description_of
from onnxd.tensors import Datatype, ModelSpec, TensorSpec
from tests.support.graphs import identity
from tests.support.server import ROOT, RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

Document = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """What is shipped, and an identity in text that does not batch."""
    root = tmp_path_factory.mktemp("openapi")
    (root / "models").mkdir()
    for model in (ROOT / "model_repository").iterdir():
        (root / "models" / model.name).symlink_to(model)
    publish(root / "models", "words", 1, identity(Datatype.BYTES))
    async with running_server(root / "models", root / "state") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(server: RunningServer) -> Document:
    async with httpx.AsyncClient(base_url=server.http) as client:
        reply = await client.get("/openapi.json")
    assert reply.status_code == 200
    content: Document = reply.json()
    return content


async def test_it_is_valid(document: Document) -> None:
    OpenAPIV30SpecValidator(document).validate()


async def test_every_route_is_in_it(server: RunningServer, document: Document) -> None:
    routes = server.server.http.routes
    labels = {route.label for route in routes if not route.path.startswith(("/docs/", "/console/"))}
    described = {f"{method.upper()} {path}" for path, row in document["paths"].items() for method in row}
    assert labels <= described
    assert set(OPERATIONS) <= labels


async def test_what_is_no_route_has_no_description() -> None:
    assert description_of("GET /v2/models/{model}/nothing") is None
    assert description_of("PUT /v2") is None


async def test_every_operation_has_a_name_of_its_own(document: Document) -> None:
    names = [operation["operationId"] for row in document["paths"].values() for operation in row.values()]
    assert len(names) == len(set(names))


async def test_every_loaded_model_has_an_operation_whose_example_it_answers(
    server: RunningServer, document: Document
) -> None:
    models = {served.spec.name for served in server.server.inference.serving(None, None)}
    assert len(models) >= 3
    async with httpx.AsyncClient(base_url=server.http) as client:
        for name in sorted(models):
            path = f"/v2/models/{name}/infer"
            body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
            reply = await client.post(path, json=body)
            assert reply.status_code == 200, (name, reply.text)


async def test_a_model_that_needs_thousands_of_numbers_has_a_command_for_an_example() -> None:
    image = TensorSpec("image", Datatype.FP32, (3, 224, 224))
    spec = ModelSpec("net", 1, (image,), (image,), max_batch_size=8)
    assert example(spec) is None
    operation = describe((), [spec], version="1", authenticates=True)["paths"]["/v2/models/net/infer"]["post"]
    sent = operation["x-codeSamples"][0]["source"]
    assert sent in operation["description"]
    assert "Bearer $KEY" in sent
    small = TensorSpec("row", Datatype.FP32, (MOST_EXAMPLE_ELEMENTS,))
    assert example(ModelSpec("net", 1, (small,), (small,))) is not None
    OpenAPIV30SpecValidator(describe((), [spec], version="1", authenticates=True)).validate()


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("perl")), reason="needs curl and perl")
async def test_the_command_for_a_model_is_answered_whatever_it_takes(server: RunningServer) -> None:
    """Of every loaded model, though those that are loaded here are small enough to need none."""
    for served in server.server.inference.serving(None, None):
        sent = example_command(served.spec, authenticates=False)
        ran = await asyncio.create_subprocess_exec(
            "sh", "-c", sent, stdout=asyncio.subprocess.PIPE, env={**os.environ, "ONNXD": server.http}
        )
        answer, _ = await ran.communicate()
        named = {tensor["name"] for tensor in json.loads(answer)["outputs"]}
        assert named == {tensor.name for tensor in served.spec.outputs}, (served.spec.name, answer)


@pytest.mark.slow
async def test_nothing_that_is_made_from_it_is_answered_with_a_fault_of_the_server(
    server: RunningServer, document: Document
) -> None:
    """Load and unload are left out, since what they do to the others is tested elsewhere, and the stream of
    events, which has no end."""
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=server.http)
    control = r"(load|unload|trace/setting|logging|register|unregister|events)$"
    wanted = schema.exclude(path_regex=control)

    faults: dict[str, list[int]] = {}

    def try_operation(operation: Any) -> None:
        @settings(
            max_examples=5,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            status = case.call().status_code
            if status >= 500 and status != 503:
                faults.setdefault(operation.label, []).append(status)

        ask()

    def try_all() -> None:
        for result in wanted.get_all_operations():
            assert isinstance(result, Ok)
            try_operation(result.ok())

    await asyncio.to_thread(try_all)
    assert faults == {}
