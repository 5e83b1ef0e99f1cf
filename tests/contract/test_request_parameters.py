"""Parameters of a request that mean something, and those that are reserved, over both protocols."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
import pytest

from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import ONES, GrpcServer, grpc_server, infer_request
from tests.support.http_server import ROW, HttpServer, http_server
from tests.support.serving import Serving, identity_spec, served_version, serving


@pytest.fixture
async def stand() -> Serving:
    return serving(served_version(identity_spec()))


@pytest.fixture
async def http(stand: Serving) -> AsyncIterator[HttpServer]:
    async with http_server(stand) as server:
        yield server
        await server.assert_well()


@pytest.fixture
async def calls(stand: Serving) -> AsyncIterator[GrpcServer]:
    async with grpc_server(stand) as server:
        yield server
        await server.calls.assert_well()


def document(**parameters: Any) -> dict[str, Any]:
    tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": ROW}
    return {"inputs": [tensor], "parameters": parameters}


def message(key: str, kind: str, value: Any) -> pb.ModelInferRequest:
    request = infer_request("identity", {"x": ONES})
    setattr(request.parameters[key], kind, value)
    return request


REFUSED_IN_JSON: Final[dict[str, list[Any]]] = {
    "priority": ["1", -1, 1.0, True, None, [1], 2**64],
    "timeout": ["1", -1, 0.5, False, None, {}],
    "sequence_id": [-1, 1.5, True, None, [7]],
    "sequence_start": [1, "true", None],
    "sequence_end": [0, "false", []],
    "binary_data_output": [1, "true", None],
    "triton_enable_empty_final_response": [True],
    "triton_mine": ["text", 1],
    "mine": [None, [1], {"a": 1}],
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(key, value, id=f"row-44-{key}-{json.dumps(value)}")
        for key, values in REFUSED_IN_JSON.items()
        for value in values
    ],
)
async def test_a_reserved_or_mistyped_parameter_is_refused_by_name(
    http: HttpServer, key: str, value: object
) -> None:
    answer = await http.infer(document(**{key: value}))
    assert answer.status == 400
    assert f"'{key}'" in answer.error


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("priority", 0),
        ("priority", 2**63),
        ("timeout", 60_000_000),
        ("timeout", 0),
        ("sequence_id", 7),
        ("sequence_id", "seven"),
        ("sequence_start", True),
        ("sequence_end", False),
        ("binary_data_output", False),
        ("headers", "a reserved name that nobody uses"),
        ("mine", "text"),
        ("mine", -5),
        ("mine", 2.5),
        ("mine", True),
    ],
)
async def test_other_parameters_change_nothing_about_the_answer(
    http: HttpServer, key: str, value: object
) -> None:
    answer = await http.infer(document(**{key: value}))
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == ROW
    assert "parameters" not in answer.json()


@pytest.mark.parametrize("parameters", [[], "text", 1, True], ids="row-44-{!r}".format)
async def test_parameters_that_are_no_object_are_refused(http: HttpServer, parameters: object) -> None:
    answer = await http.infer(document() | {"parameters": parameters})
    assert answer.status == 400
    assert "parameters" in answer.error


REFUSED_IN_FIELDS: Final[list[tuple[str, str, Any]]] = [
    ("priority", "string_param", "1"),
    ("priority", "int64_param", -1),
    ("priority", "bool_param", True),
    ("priority", "double_param", 1.0),
    ("timeout", "string_param", "1"),
    ("timeout", "int64_param", -1),
    ("timeout", "double_param", 0.5),
    ("sequence_id", "bool_param", True),
    ("sequence_id", "int64_param", -1),
    ("sequence_id", "double_param", 1.0),
    ("sequence_start", "int64_param", 1),
    ("sequence_end", "string_param", "true"),
    ("triton_enable_empty_final_response", "string_param", "true"),
    ("triton_mine", "bool_param", True),
]


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        pytest.param(key, kind, value, id=f"row-44-{key}-{kind}-{value}")
        for key, kind, value in REFUSED_IN_FIELDS
    ],
)
async def test_a_reserved_parameter_or_one_in_the_wrong_field_is_refused_by_name(
    calls: GrpcServer, key: str, kind: str, value: object
) -> None:
    refused = await calls.calls.refusal("ModelInfer", message(key, kind, value))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert f"'{key}'" in refused.details


async def test_row_44_a_parameter_without_a_value_is_refused(calls: GrpcServer) -> None:
    request = infer_request("identity", {"x": ONES})
    request.parameters["priority"].SetInParent()
    refused = await calls.calls.refusal("ModelInfer", request)
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "'priority'" in refused.details


@pytest.mark.parametrize(
    ("key", "kind", "value"),
    [
        ("priority", "int64_param", 1),
        ("priority", "uint64_param", 2**64 - 1),  # as tritonclient sends it
        ("timeout", "int64_param", 60_000_000),
        ("sequence_id", "int64_param", 7),
        ("sequence_id", "string_param", "seven"),
        ("sequence_start", "bool_param", True),
        ("triton_enable_empty_final_response", "bool_param", True),  # the C++ client, on every request
        ("binary_data_output", "string_param", "an ordinary name here"),
        ("mine", "double_param", 2.5),
    ],
)
async def test_other_parameters_over_grpc_change_nothing_about_the_answer(
    calls: GrpcServer, key: str, kind: str, value: object
) -> None:
    answer = await calls.calls.ask("ModelInfer", message(key, kind, value))
    assert list(answer.raw_output_contents) == [ONES.tobytes()]
    assert not answer.parameters
