"""Inference through every client: tensors bit by bit, what a request may ask for, and how it is refused."""

from typing import Any, Final

import ml_dtypes
import numpy as np
import pytest

from onnxd.tensors import Datatype
from tests.contract.stand import DIMS, ROW
from tests.contract.wire_client import Array, Kind, Refused, Request, WireClient

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = (
    "digits",
    "broken",
    "rows",
    "pair",
    "optional",
    "versions",
    "text",
    "every_scalar",
    "every_vector",
    "every_cube",
    "bf16_scalar",
    "bf16_vector",
    "bf16_cube",
)

# Tensors.

FLOATS: Final = (0.0, -0.0, 1.5, -1e-5, float("nan"), float("inf"), -float("inf"), 6e-5, 0.1, 1, 2, 3)
TEXTS: Final = (
    "",
    "plain",
    "häuser",
    "文字",
    "\x00nul\x00",
    'quote " \\ /',
    "\n\t",
    "🙂",
    "a",
    "b",
    "c",
    "d",
)
SHAPES: Final[dict[str, tuple[str, tuple[int, ...]]]] = {
    "a-scalar": ("scalar", ()),
    "an-empty-vector": ("vector", (0,)),
    "a-vector": ("vector", (12,)),
    "an-empty-cube": ("cube", (2, 0, 3)),
    "a-cube": ("cube", (2, 3, 2)),
}
"""The form of the model (see stand.py), and the shape of the tensors."""


def sample(datatype: Datatype, shape: tuple[int, ...]) -> Array:
    """Extreme values first: a scalar has the most extreme that its datatype offers."""
    count = int(np.prod(shape))
    if datatype is Datatype.BYTES:
        array = np.empty(count, np.object_)
        array[:] = [text.encode() for text in TEXTS[1 : count + 1] + TEXTS[:1]][:count]
        return array.reshape(shape)
    if datatype is Datatype.BOOL:
        return np.array([True, False, True] * 4)[:count].reshape(shape)
    if datatype.is_float:
        dtype: Any = ml_dtypes.bfloat16 if datatype is Datatype.BF16 else datatype.dtype
        limits = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call] # its annotations stop there
        values = [float("nan"), float(limits.max), float(limits.smallest_normal), *FLOATS]
        return np.array(values[:count], np.float64).astype(dtype).reshape(shape)
    whole = np.iinfo(datatype.dtype)
    return np.array([whole.max, whole.min, 0, 1] * 3, datatype.dtype)[:count].reshape(shape)


def assert_identical(sent: Array, got: Array, name: str) -> None:
    assert got.dtype == sent.dtype, name
    assert got.shape == sent.shape, name
    if sent.dtype == np.object_:
        assert got.tolist() == sent.tolist(), name
    else:
        assert got.tobytes() == sent.tobytes(), name


@pytest.mark.parametrize(("form", "shape"), SHAPES.values(), ids=SHAPES.keys())
async def test_every_datatype_comes_back_bit_by_bit(
    client: WireClient, form: str, shape: tuple[int, ...]
) -> None:
    names = [datatype for datatype in Datatype if datatype is not Datatype.BF16]
    sent = {datatype.value.lower(): sample(datatype, shape) for datatype in names}

    reply = await client.infer(
        f"every_{form}", Request({f"in_{name}": array for name, array in sent.items()})
    )

    assert set(reply.outputs) == {f"out_{name}" for name in sent}
    for name, array in sent.items():
        assert_identical(array, reply.outputs[f"out_{name}"], name)


@pytest.mark.parametrize(("form", "shape"), SHAPES.values(), ids=SHAPES.keys())
async def test_BF16_comes_back_bit_by_bit(client: WireClient, form: str, shape: tuple[int, ...]) -> None:
    sent = sample(Datatype.BF16, shape)
    reply = await client.infer(f"bf16_{form}", Request({"x": sent}))
    assert_identical(sent, reply.outputs["y"], "y")


async def test_the_samples_hold_what_breaks_converters() -> None:
    assert set(DIMS) == {form for form, _ in SHAPES.values()}
    floats = sample(Datatype.FP32, (12,))
    assert np.isnan(floats).any()
    assert {np.inf, -np.inf} <= set(floats[np.isinf(floats)].tolist())
    assert np.signbit(floats[floats == 0]).any()
    assert sample(Datatype.UINT64, ()).item() == 2**64 - 1
    assert {b"", b"\x00nul\x00"} <= set(sample(Datatype.BYTES, (12,)).tolist())


# Requests.


async def test_an_answer_names_its_request_model_and_version(client: WireClient) -> None:
    reply = await client.infer("versions", Request({"x": ROW}, id="request: 7 ä"))
    assert (reply.id, reply.model, reply.version) == ("request: 7 ä", "versions", "2")


async def test_a_request_without_an_id_gets_none(client: WireClient) -> None:
    assert (await client.infer("rows", Request({"x": ROW}))).id == ""


async def test_a_version_can_be_pinned(client: WireClient) -> None:
    for version in ("1", "2"):
        reply = await client.infer("versions", Request({"x": ROW}, version=version))
        assert reply.version == version
        assert reply.outputs["version"].tolist() == [int(version)]


async def test_an_optional_input_may_be_left_out(client: WireClient) -> None:
    reply = await client.infer("optional", Request({"x": ROW}))
    np.testing.assert_array_equal(reply.outputs["y"], ROW + 10)


async def test_an_optional_input_may_be_given(client: WireClient) -> None:
    reply = await client.infer("optional", Request({"x": ROW, "bias": np.array([0.5], np.float32)}))
    np.testing.assert_array_equal(reply.outputs["y"], ROW + np.float32(0.5))


async def test_all_outputs_come_when_none_is_named(client: WireClient) -> None:
    reply = await client.infer("pair", Request({"a": ROW, "b": ROW * 2}))
    assert list(reply.outputs) == ["sum", "difference"]


async def test_only_the_named_outputs_come_in_the_order_of_the_request(client: WireClient) -> None:
    inputs = {"a": ROW, "b": ROW * 2}
    one = await client.infer("pair", Request(inputs, outputs=("difference",)))
    both = await client.infer("pair", Request(inputs, outputs=("difference", "sum")))
    assert list(one.outputs) == ["difference"]
    assert list(both.outputs) == ["difference", "sum"]
    np.testing.assert_array_equal(both.outputs["sum"], ROW * 3)
    np.testing.assert_array_equal(one.outputs["difference"], -ROW)


async def test_a_batch_is_answered_row_by_row(client: WireClient) -> None:
    rows = np.arange(32, dtype=np.float32).reshape(8, 4)
    reply = await client.infer("rows", Request({"x": rows}))
    np.testing.assert_array_equal(reply.outputs["y"], rows + 1)


DIGITS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


async def test_the_best_classes_come_with_their_labels(client: WireClient) -> None:
    pixels = np.stack([np.zeros(64, np.float32), np.full(64, 16, np.float32)])
    scores = (await client.infer("digits", Request({"pixels": pixels}))).outputs["scores"]
    best = (await client.infer("digits", Request({"pixels": pixels}, classes={"scores": 3}))).outputs[
        "scores"
    ]

    assert best.shape == (2, 3)
    for row, classes in zip(scores, best.tolist(), strict=True):
        values, indices, labels = zip(*(entry.decode().split(":") for entry in classes), strict=True)
        assert [int(index) for index in indices] == np.argsort(-row, kind="stable")[:3].tolist()
        assert list(labels) == [DIGITS[int(index)] for index in indices]
        np.testing.assert_allclose([float(value) for value in values], np.sort(row)[::-1][:3], atol=1e-5)


# Refusals.

WORD: Final = np.array([b"a"], np.object_)
EMPTY: Final = np.zeros((0, 4), np.float32)
REFUSALS: Final[dict[str, tuple[str, Request, Kind, str]]] = {
    "an-unknown-model": ("nothing", Request({"x": ROW}), Kind.NOT_FOUND, "nothing"),
    "an-unknown-version": ("rows", Request({"x": ROW}, version="9"), Kind.NOT_FOUND, "9"),
    "a-model-that-did-not-load": ("broken", Request({"x": ROW}), Kind.UNAVAILABLE, "broken"),
    "a-name-that-no-model-can-have": ("a name", Request({"x": ROW}), Kind.INVALID, "name"),
    "a-missing-input": ("pair", Request({"a": ROW}), Kind.INVALID, "'b'"),
    "an-unknown-input": ("pair", Request({"a": ROW, "c": ROW}), Kind.INVALID, "'c'"),
    "an-input-too-many": ("rows", Request({"x": ROW, "z": ROW}), Kind.INVALID, "'z'"),
    "an-unknown-output": ("rows", Request({"x": ROW}, outputs=("z",)), Kind.INVALID, "'z'"),
    "a-wrong-datatype": ("rows", Request({"x": ROW.astype(np.int32)}), Kind.INVALID, "INT32"),
    "a-wrong-shape": ("rows", Request({"x": ROW.reshape(2, 2)}), Kind.INVALID, "'x'"),
    "a-missing-batch-dimension": ("rows", Request({"x": ROW[0]}), Kind.INVALID, "'x'"),
    "an-empty-batch": ("rows", Request({"x": EMPTY}), Kind.INVALID, "'x'"),
    "a-batch-over-the-maximum": ("rows", Request({"x": ROW.repeat(9, 0)}), Kind.INVALID, "8"),
    "batches-that-differ": ("pair", Request({"a": ROW, "b": ROW.repeat(2, 0)}), Kind.INVALID, "'b'"),
    "classes-of-text": ("text", Request({"x": WORD}, classes={"y": 1}), Kind.INVALID, "'y'"),
}


@pytest.mark.parametrize(("model", "request_", "kind", "named"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_refusal_says_what_is_wrong(
    client: WireClient, model: str, request_: Request, kind: Kind, named: str
) -> None:
    with pytest.raises(Refused) as refused:
        await client.infer(model, request_)
    assert refused.value.kind is kind
    assert named in refused.value.message
    assert (await client.infer("rows", Request({"x": ROW}))).outputs["y"].tolist() == (ROW + 1).tolist()
