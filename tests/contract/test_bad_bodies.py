"""Bad bodies against the whole server over HTTP, by the row ids of the tables C, D and E of bad input."""

import json
import os
import struct
from typing import Final

import numpy as np
import pytest

from tests.contract.http_cases import Case, bad, check, document, good, raw, send, tailed, tensor, text
from tests.support.server import RunningServer
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = (
    "free",
    "rows",
    "pair",
    "grid",
    "scalar",
    "text",
    "truth",
    "half",
    "bf16_vector",
    "bytes_of_eight",
    "whole",
    "quotient",
    "lookup",
)

VALID: Final = json.dumps(document()).encode()
DATA: Final = b'"data": [1.0, 2.0]'
PAIR: Final = np.array([1, 2], np.float32).tobytes()


def data(written: bytes) -> bytes:
    """The good request with its data written so."""
    return VALID.replace(DATA, b'"data": ' + written)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def words(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def output(name: str, **parameters: object) -> dict[str, object]:
    return {"name": name, "parameters": parameters}


def integers(values: list[object], datatype: str = "INT64") -> dict[str, object]:
    return tensor(values, datatype=datatype)


JSON: Final[dict[str, Case]] = {
    "C1-empty-body": text(b""),
    "C1-null": text(b"null"),
    "C1-array": text(b"[]"),
    "C1-string": text(b'"x"'),
    "C1-empty-object": text(b"{}", named="inputs"),
    "C1-truncated": text(VALID[:-1]),
    "C1-trailing-junk": text(VALID + b"x"),
    "C1-utf-16": text(VALID.decode().encode("utf-16")),
    "C1-byte-order-mark": text(b"\xef\xbb\xbf" + VALID),
    "C2-data-101-deep": text(data(nested(101))),
    "C2-data-100000-deep": text(data(nested(100_000))),
    "C2-index-250000-deep": Case("", b'{"ready":' + nested(250_000) + b"}", path="/v2/repository/index"),
    "C3-5000-digits": text(data(b"[" + b"1" * 5000 + b", 2.0]")),
    "C4-nan-and-infinities-in-FP32": text(data(b"[NaN, -Infinity]"), status=200),
    "C4-1e999-in-FP32": text(data(b"[1e999, 2.0]")),
    "C4-1e39-in-FP32": text(data(b"[1e39, 2.0]"), named="'x'"),
    "C4-nan-in-INT64": text(data(b"[NaN, 2]").replace(b"FP32", b"INT64"), model="whole"),
    "C4-1e999-in-INT64": text(data(b"[1e999, 2]").replace(b"FP32", b"INT64"), model="whole"),
    "C5-inputs-twice": text(VALID[:-1] + b", " + VALID[1:]),
    "C5-name-twice": text(VALID.replace(b'"name": "x"', b'"name": "x", "name": "x"')),
    "C7-inputs-is-an-object": bad(inputs={}),
    "C7-number-as-name": bad(tensor([1.0], name=1)),
    "C7-number-as-datatype": bad(tensor([1.0], datatype=32)),
    "C7-number-as-shape": bad(tensor([1.0], shape=1)),
    "C7-bool-as-dim": bad(tensor([1.0], shape=[True])),
    "C7-float-as-dim": bad(tensor([1.0, 2.0], shape=[2.0])),
    "C7-string-as-dim": bad(tensor([1.0], shape=["1"])),
    "C7-string-as-data": bad(tensor("ab", shape=[2])),
    "C7-array-as-parameters": bad(parameters=[]),
    "C7-object-as-outputs": bad(outputs={}),
    "C7-string-as-binary_data": bad(outputs=[output("y", binary_data="true")]),
    "C7-string-as-priority": bad(parameters={"priority": "1"}),
    "C7-negative-timeout": bad(parameters={"timeout": -1}),
    "C8-string-in-FP32": bad(tensor(["1.5"]), named="'x'"),
    "C8-bool-in-FP32": bad(tensor([True]), named="'x'"),
    "C8-1.9-in-INT64": bad(integers([1.9]), model="whole", named="'x'"),
    "C8-300-in-UINT8": bad(integers([300], "UINT8"), model="bytes_of_eight", named="255"),
    "C8-minus-1-in-UINT8": bad(integers([-1], "UINT8"), model="bytes_of_eight", named="-1"),
    "C8-2^63-in-INT64": bad(integers([2**63]), model="whole"),
    "C8-number-in-BYTES": bad(integers([1], "BYTES"), model="text"),
    "C9-ragged": bad(tensor([[1, 2], [3]], shape=[2, 2]), model="grid"),
    "C9-nested-deeper-than-shape": bad(tensor([[1], [2]])),
    "C9-one-too-many": bad(tensor([1.0, 2.0], shape=[1])),
    "C9-one-too-few": bad(tensor([1.0, 2.0], shape=[3])),
    "C10-data-and-binary_data_size": bad(tensor([1.0], binary_data_size=4)),
    "C10-no-data-at-all": bad(tensor(shape=[1])),
    "C10-data-and-shared-memory": bad(tensor([1.0], parameters={"shared_memory_region": "r"})),
    "C11-id-of-1-MB": bad(id="x" * 2**20),
    "C11-id-with-newlines": bad(id="a\nb"),
    "C11-number-as-id": bad(id=7),
    "C12-reserved-prefix": bad(parameters={"triton_x": 1}, named="triton_x"),
    "C12-10000-parameters": bad(parameters={f"k{number}": number for number in range(10_000)}),
    "C12-nested-parameter": bad(parameters={"a": {"b": 1}}),
    "C13-outputs-empty": good(outputs=[]),
    "C13-output-twice": bad(outputs=[output("y"), output("y")], named="'y'"),
    "C13-output-unknown": bad(outputs=[output("z")], named="'z'"),
    "C13-100000-outputs": bad(outputs=[output(f"y{number}") for number in range(100_000)]),
    "C14-classification-0": bad(outputs=[output("y", classification=0)]),
    "C14-classification-negative": bad(outputs=[output("y", classification=-1)]),
    "C14-classification-of-text": bad(
        integers(["a"], "BYTES"), model="text", outputs=[output("y", classification=1)], named="'y'"
    ),
    # protocol.md has min(k, n) classes, as Triton does.
    "C14-more-classes-than-elements": good(outputs=[output("y", classification=10**9)]),
}

BINARY: Final[dict[str, Case]] = {
    "D1-too-small": tailed(tensor(shape=[2], binary_data_size=4), tail=PAIR[:4], named="'x'"),
    "D1-too-large": tailed(tensor(shape=[2], binary_data_size=12), tail=PAIR + PAIR[:4], named="'x'"),
    "D1-more-than-there-is": tailed(tensor(shape=[2], binary_data_size=12), tail=PAIR, named="'x'"),
    "D1-negative": tailed(tensor(shape=[2], binary_data_size=-8), tail=PAIR),
    "D1-zero": tailed(tensor(shape=[2], binary_data_size=0), tail=b""),
    "D1-2^63": tailed(tensor(shape=[2], binary_data_size=2**63), tail=PAIR),
    "D1-string": tailed(tensor(shape=[2], binary_data_size="8"), tail=PAIR),
    "D2-tail-too-long": tailed(tensor(shape=[2], binary_data_size=8), tail=PAIR + b"x"),
    "D2-tail-too-short": tailed(tensor(shape=[2], binary_data_size=8), tail=PAIR[:-1]),
    "D3-not-a-multiple-of-4": tailed(tensor(shape=[2], binary_data_size=7), tail=PAIR[:7]),
    "D6-truth-of-2": tailed(
        tensor(datatype="BOOL", shape=[2], binary_data_size=2), tail=b"\x01\x02", model="truth", named="'x'"
    ),
    "D7-FP16-in-JSON": bad(tensor([1.0], datatype="FP16"), model="half", named="binary"),
    "D7-FP16-answered-in-JSON": tailed(
        tensor(datatype="FP16", shape=[2], binary_data_size=4), tail=PAIR[:4], model="half", named="binary"
    ),
    "D7-BF16-in-JSON": bad(tensor([1.0], shape=[1], datatype="BF16"), model="bf16_vector", named="binary"),
    "D8-raw-to-two-inputs": raw("pair", PAIR * 2),
    "D8-raw-to-two-free-dimensions": raw("grid", PAIR * 2),
    "D8-raw-of-a-wrong-size": raw("free", PAIR[:7]),
    "D8-raw-of-the-right-size": raw("free", PAIR, status=200),
    "D9-a-quarter-of-the-bytes": tailed(
        tensor(shape=[2**20], binary_data_size=2**20), tail=bytes(2**20), named="'x'"
    ),
}


def written_text(shape: list[int], tail: bytes, status: int = 400) -> Case:
    """BYTES behind the JSON for the model `text`."""
    entry = tensor(datatype="BYTES", shape=shape, binary_data_size=len(tail))
    return tailed(entry, tail=tail, model="text", status=status)


TEXT: Final[dict[str, Case]] = {
    "D4-length-past-the-end": written_text([1], struct.pack("<I", 5) + b"abcd"),
    "D4-length-of-0xFFFFFFFF": written_text([1], struct.pack("<I", 2**32 - 1) + b"abcd"),
    "D4-last-length-cut": written_text([2], words(b"abc") + b"\x01\x00"),
    "D4-fewer-than-the-shape": written_text([2], words(b"abc")),
    "D4-more-than-the-shape": written_text([1], words(b"abc", b"d")),
    "D5-embedded-nul": written_text([1], words(b"a\x00b"), status=200),
    "D5-not-utf-8": written_text([1], words(b"\xff\xfe")),
    "D5-a-million-empty-elements": written_text([10**6], bytes(4 * 10**6), status=200),
    "D5-two-million-empty-elements": written_text([2 * 10**6], bytes(8 * 10**6)),
}

ROW: Final = [1.0, 2.0, 3.0, 4.0]


def row(values: list[float] | None = None, **changes: object) -> dict[str, object]:
    """An input of the model `rows`."""
    return tensor(ROW if values is None else values, **{"shape": [1, 4], **changes})


SHAPES: Final[dict[str, Case]] = {
    "E1-dim-minus-1": bad(tensor([1.0, 2.0], shape=[-1])),
    "E1-dim-minus-2^31": bad(tensor([1.0, 2.0], shape=[-(2**31)])),
    "E1-zero-where-four-are-expected": bad(row([], shape=[1, 0]), model="rows", named="'x'"),
    "E1-zero-where-any-number-is-taken": good(tensor([], shape=[0])),
    "E2-2^33-squared": bad(tensor([1.0], shape=[2**33, 2**33]), model="grid"),
    "E2-2^62-times-4": bad(tensor([1.0], shape=[2**62, 4]), model="grid"),
    "E2-2^62+8-in-JSON": bad(tensor([1.0] * 8, shape=[2**62 + 8])),
    "E2-2^62+8-in-32-bytes": tailed(tensor(shape=[2**62 + 8], binary_data_size=32), tail=PAIR * 4),
    "E3-65-dims": bad(tensor([1.0], shape=[1] * 65)),
    "E3-scalar-for-a-vector": bad(tensor([1.0], shape=[]), named="'x'"),
    "E3-scalar-for-a-batch": bad(tensor([1.0], shape=[]), model="rows", named="'x'"),
    "E3-scalar-for-a-scalar": good(tensor([1.0], shape=[]), model="scalar"),
    "E4-no-rows": bad(row([], shape=[0, 4]), model="rows", named="'x'"),
    "E4-one-row-too-many": bad(row(ROW * 9, shape=[9, 4]), model="rows", named="8"),
    "E4-as-many-rows-as-allowed": good(row(ROW * 8, shape=[8, 4]), model="rows"),
    "E4-two-inputs-that-differ": bad(
        row(name="a"), row(ROW * 2, name="b", shape=[2, 4]), model="pair", named="'b'"
    ),
    "E5-another-datatype": bad(integers([1, 2], "INT32"), named="FP32"),
    "E5-lower-case": bad(tensor([1.0], datatype="fp32"), named="FP32"),
    "E5-unknown": bad(tensor([1.0], datatype="FP33"), named="FP32"),
    "E6-missing-input": bad(row(name="a"), model="pair", named="'b'"),
    "E6-extra-input": bad(row(name="a"), row(name="b"), row(name="c"), model="pair", named="'c'"),
    "E6-duplicate-input": bad(row(name="a"), row(name="a"), model="pair", named="'a'"),
    "E6-another-name": bad(row(name="z"), model="rows", named="'z'"),
    "E7-same-count-other-dims": bad(row(shape=[4, 1]), model="rows", named="[4,1]"),
    "E7-same-count-other-rank": bad(row(shape=[2, 2]), model="rows", named="[2,2]"),
    "E7-same-count-flat": bad(tensor(ROW), model="rows", named="[4]"),
}


TABLES: Final = {**JSON, **BINARY, **TEXT, **SHAPES}


@pytest.mark.parametrize("case", TABLES.values(), ids=TABLES.keys())
async def test_a_bad_body_is_refused_by_name_and_hurts_nobody(server: RunningServer, case: Case) -> None:
    await check(server, case)


def quotient(divisor: int, status: int) -> Case:
    """7 divided by it, in integers."""
    inputs = [integers([number], "INT32") | {"name": name} for name, number in (("a", 7), ("b", divisor))]
    return bad(*inputs, model="quotient", status=status, named="division by zero" if status != 200 else "")


@pytest.mark.parametrize(
    ("failing", "working"),
    [
        # Its form is right, so it is not the request that is bad (decisions, "raised inside ONNX Runtime").
        pytest.param(quotient(0, 500), quotient(7, 200), id="E10-integer-division-by-zero"),
        pytest.param(
            bad(integers([9]), model="lookup", named="out of data bounds"),
            good(integers([2]), model="lookup"),
            id="an-index-outside-a-table",
        ),
    ],
)
async def test_data_that_a_model_cannot_compute_with_fails_alone(
    server: RunningServer, failing: Case, working: Case
) -> None:
    for _ in range(3):
        await check(server, failing)
        await check(server, working)


async def test_refusals_leave_no_descriptor_open(server: RunningServer) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for case in TABLES.values():
        await send(server, case)
    await until(lambda: count() <= before)
