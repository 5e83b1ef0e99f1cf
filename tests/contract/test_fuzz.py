"""Whatever a body holds, the server answers it, never with its own fault, and goes on."""

import copy
from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.http_cases import INSIDE, LENGTH, Case, assert_well, document, send, tensor
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS: Final = ("free", "rows", "pair", "text", "truth", "half", "bytes_of_eight", "whole", "grid", "scalar")
DATATYPES: Final = ("FP32", "BYTES", "BOOL", "FP16", "UINT8", "INT64", "BF16", "fp32", "")
REFUSALS: Final = {400, 403, 404, 413, 415}

# A division by zero, an index outside a table: faults of the data, found by ONNX Runtime. Not these models.

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**66), 2**66),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["x", "y", "a", "FP32", "NaN", 2**31, 2**63, -1]),
)
values = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=8,
)
shapes = st.lists(st.integers(-1, 5) | st.sampled_from([2**31, 2**62]), max_size=4) | values
parameters = st.dictionaries(
    st.sampled_from(
        ["binary_data_size", "binary_data", "classification", "priority", "timeout", "triton_x", "k"]
    ),
    st.integers(-1, 64) | scalars,
    max_size=3,
)
members: Mapping[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["x", "a", "b", "z"]) | values,
    "datatype": st.sampled_from(DATATYPES) | values,
    "shape": shapes,
    "data": st.lists(scalars, max_size=6) | values,
    "parameters": parameters | values,
}
tensors = st.fixed_dictionaries({}, optional=dict(members)) | values
documents = (
    st.fixed_dictionaries(
        {"inputs": st.lists(tensors, max_size=3) | values},
        optional={
            "id": values,
            "outputs": st.lists(tensors, max_size=3) | values,
            "parameters": parameters | values,
            "other": values,
        },
    )
    | values
)


RIGHT: Final[Mapping[str, Any]] = {
    "free": document(tensor([1.0, 2.0]), id="a", outputs=[{"name": "y"}], parameters={"k": 1}),
    "rows": document(
        tensor([[1, 2, 3, 4]] * 2, shape=[2, 4]),
        outputs=[{"name": "y", "parameters": {"classification": 2, "binary_data": True}}],
        parameters={"priority": 1, "timeout": 10**7},
    ),
    "pair": document(tensor([0.5] * 4, name="a", shape=[1, 4]), tensor([0] * 4, name="b", shape=[1, 4])),
    "text": document(tensor(["a", ""], datatype="BYTES"), parameters={"binary_data_output": True}),
    "truth": document(tensor([True, False], datatype="BOOL")),
    "bytes_of_eight": document(tensor([0, 255], datatype="UINT8")),
    "whole": document(tensor([-(2**63), 2**63 - 1], datatype="INT64", shape=[2])),
    "grid": document(tensor([[1, 2], [3, 4]], shape=[2, 2])),
    "scalar": document(tensor([1.5], shape=[])),
}
"""A good request to each model."""


@st.composite
def nearly_right(draw: st.DrawFn) -> tuple[str, object]:
    """A model and its good request, in which one thing was changed, left out, or given twice."""
    model = draw(st.sampled_from(sorted(RIGHT)))
    content = copy.deepcopy(RIGHT[model])
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        break
    change = draw(st.sampled_from(["leave", "leave out", "double", "replace", "replace", "replace"]))
    if change == "leave out":
        del place[key]
    elif change == "double":
        place[key] = [place[key], place[key]]
    elif change == "replace":
        place[key] = draw(scalars | shapes | values)
    return model, content


def written(content: object) -> bytes:
    """JSON, as far as orjson writes it: integers beyond 64 bits and lone surrogates become text."""
    try:
        return orjson.dumps(content)
    except (orjson.JSONEncodeError, TypeError):
        return repr(content).encode("utf-8", "replace")


fuzz = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


async def look_at(server: RunningServer, case: Case) -> None:
    answer = await send(server, case)
    assert answer.status == 200 or answer.status in REFUSALS, answer.body
    if answer.status != 200:
        assert not [inside for inside in INSIDE if inside in answer.error and inside not in "/0x"]


@fuzz
@given(model=st.sampled_from(MODELS), content=documents)
async def test_any_json_is_answered(server: RunningServer, model: str, content: object) -> None:
    await look_at(server, Case(model, written(content)))


@fuzz
@given(request=nearly_right())
async def test_a_request_that_is_nearly_right_is_answered(
    server: RunningServer, request: tuple[str, object]
) -> None:
    model, content = request
    await look_at(server, Case(model, written(content)))


@fuzz
@given(
    model=st.sampled_from(MODELS),
    content=documents,
    tail=st.binary(max_size=64),
    shift=st.sampled_from([0, 0, 0, 0, 1, -1, 10**6]),
)
async def test_any_tail_and_any_length_of_the_json_are_answered(
    server: RunningServer, model: str, content: object, tail: bytes, shift: int
) -> None:
    head = written(content)
    headers = {LENGTH: str(len(head) + shift)}
    await look_at(server, Case(model, head + tail, headers=headers))


@fuzz
@given(
    model=st.sampled_from(MODELS),
    body=st.binary(max_size=256),
    headers=st.sampled_from(
        [{}, {LENGTH: "0"}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}]
    ),
)
async def test_any_bytes_are_answered(
    server: RunningServer, model: str, body: bytes, headers: dict[str, str]
) -> None:
    await look_at(server, Case(model, body, headers=headers))


@pytest.mark.parametrize("model", RIGHT)
async def test_the_request_to_be_changed_is_right(server: RunningServer, model: str) -> None:
    assert (await send(server, Case(model, written(RIGHT[model])))).status == 200


async def test_the_server_is_well_after_all_of_that(server: RunningServer) -> None:
    await assert_well(server)
