"""The table of invalid inputs of the protocol's description, over HTTP, with the statuses decided for it.

Rows 43, 46 and 50 are in test_protocol_unavailable.py. Left out: 39 (a decoupled model), 40 to 42
(sequences) and 49 (restricted operations), which are about what comes later.
"""

import json
from typing import Final

import numpy as np
import pytest

from tests.contract.http_cases import (
    LENGTH,
    Case,
    bad,
    check,
    document,
    raw,
    send,
    tailed,
    tensor,
    text,
)
from tests.support.raw_http import connect, request_bytes
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = ("free", "rows", "pair", "grid", "scalar", "text", "half", "broken")

VALID: Final = json.dumps(document()).encode()
ROW: Final = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}
DEEP: Final = VALID[:-1] + b', "other": {"member": ' + b"[" * 101 + b"]" * 101 + b"}}"
PAIR: Final = np.array([1, 2], np.float32).tobytes()


def at(path: str, status: int, *, body: bytes = VALID, method: str = "POST", named: str = "") -> Case:
    """A request to another path than an infer without a version."""
    return Case("", body, status, named, path=path, method=method)


def encoded(encoding: str, status: int) -> Case:
    """The good request, said to be compressed."""
    return Case("free", VALID, status, headers={"Content-Encoding": encoding})


def announced(length: str) -> Case:
    """The good request, with a length of its JSON part."""
    return Case("free", VALID, named=LENGTH, headers={LENGTH: length})


ROWS: Final[dict[str, Case]] = {
    "row-1-unknown-model": bad(model="nothing", status=404, named="nothing"),
    "row-2-unknown-version": at("/v2/models/rows/versions/9/infer", 404, named="9"),
    "row-3-no-version-is-ready": bad(model="broken", status=503, named="broken"),
    "row-4-the-version-is-not-ready": at("/v2/models/broken/versions/1/infer", 503, named="broken"),
    "row-5-version-that-is-no-number": at("/v2/models/rows/versions/x/infer", 404, named="Not Found"),
    "row-6-malformed-json": text(VALID[:-2]),
    "row-7-empty-body": text(b""),
    "row-8-no-inputs": text(b'{"id": "a"}', named="inputs"),
    "row-9-input-without-name": bad({"shape": [1], "datatype": "FP32", "data": [1]}, named="name"),
    "row-9-input-without-datatype": bad({"name": "x", "shape": [1], "data": [1]}, named="datatype"),
    "row-9-input-without-shape": bad({"name": "x", "datatype": "FP32", "data": [1]}, named="shape"),
    "row-10-float-in-the-shape": bad(tensor([1.0], shape=[1.0]), named="'x'"),
    "row-10-text-in-the-shape": bad(tensor([1.0], shape=["1"]), named="'x'"),
    "row-11-negative-dimension": bad(tensor([1.0], shape=[-1]), named="'x'"),
    "row-12-no-data": bad(tensor(shape=[1]), named="'x'"),
    "row-12-two-kinds-of-data": bad(tensor([1.0], binary_data_size=4), named="'x'"),
    "row-13-data-that-does-not-fill-the-shape": bad(tensor([1.0], shape=[2]), named="'x'"),
    "row-14-text-for-a-number": bad(tensor(["1"]), named="'x'"),
    "row-15-FP16-in-json": bad(tensor([1.0], datatype="FP16"), model="half", named="'x'"),
    "row-16-unknown-datatype": bad(tensor([1.0], datatype="FLOAT"), named="'x'"),
    "row-17-another-datatype": bad(tensor([1], datatype="INT32"), named="'x'"),
    "row-18-another-shape": bad(ROW | {"shape": [2, 2]}, model="rows", named="[-1,4]"),
    "row-19-no-batch-dimension": bad(tensor([1.0], shape=[]), model="rows", named="batch"),
    "row-20-batches-that-differ": bad(
        ROW | {"name": "a"},
        {**ROW, "name": "b", "shape": [2, 4], "data": [0.0] * 8},
        model="pair",
        named="'b'",
    ),
    "row-21-batch-over-the-maximum": bad(
        ROW | {"shape": [9, 4], "data": [0.0] * 36}, model="rows", named="8"
    ),
    "row-22-missing-input": bad(ROW | {"name": "a"}, model="pair", named="'b'"),
    "row-22-input-too-many": bad(ROW, ROW | {"name": "z"}, model="rows", named="'z'"),
    "row-23-unexpected-input": bad(ROW | {"name": "z"}, model="rows", named="'z'"),
    "row-24-unexpected-output": bad(outputs=[{"name": "z"}], named="'z'"),
    "row-25-input-twice": bad(ROW, ROW, model="rows", named="'x'"),
    "row-25-output-twice": bad(outputs=[{"name": "y"}, {"name": "y"}], named="'y'"),
    "row-26-too-few-bytes": tailed(tensor(shape=[2], binary_data_size=8), tail=PAIR[:4], named="'x'"),
    "row-27-too-many-bytes": tailed(tensor(shape=[2], binary_data_size=8), tail=PAIR + b"x"),
    "row-28-bytes-that-do-not-fill-the-shape": tailed(
        tensor(shape=[2], binary_data_size=4), tail=PAIR[:4], named="'x'"
    ),
    "row-29-raw-binary-to-two-inputs": raw("pair", PAIR, named="pair"),
    "row-30-text-cut-short": tailed(
        tensor(datatype="BYTES", shape=[1], binary_data_size=3),
        tail=b"\x01\x00\x00",
        model="text",
        named="'x'",
    ),
    "row-31-length-of-json-that-is-no-number": announced("abc"),
    "row-32-length-of-json-beyond-the-body": announced(str(len(VALID) + 1)),
    "row-33-binary_data_size-that-is-text": bad(tensor(shape=[1], binary_data_size="4"), named="'x'"),
    "row-34-dimensions-that-overflow": bad(tensor([1.0], shape=[2**33, 2**33]), model="grid", named="'x'"),
    "row-35-nesting-over-100": text(DEEP, named="100"),
    "row-35-data-nested-over-100": text(VALID.replace(b"[1.0, 2.0]", b"[" * 101 + b"]" * 101), named="'x'"),
    "row-37-unknown-encoding": encoded("zstd", 415),
    "row-38-bad-compressed-data": encoded("gzip", 400),
    "row-44-reserved-parameter": bad(parameters={"triton_mine": 1}, named="triton_mine"),
    "row-44-mistyped-parameter": bad(parameters={"priority": "high"}, named="priority"),
    "row-45-shared-memory-that-is-off": bad(
        tensor(shape=[1], parameters={"shared_memory_region": "r", "shared_memory_byte_size": 4}),
        status=403,
        named="shared memory",
    ),
    "row-47-load-of-an-unknown-model": at(
        "/v2/repository/models/nothing/load", 404, body=b"", named="nothing"
    ),
    "row-48-wrong-method": at("/v2/models/free/infer", 405, body=b"", method="GET"),
    "row-48-wrong-path": at("/v2/models/free/outfer", 404, named="Not Found"),
}


@pytest.mark.parametrize("case", ROWS.values(), ids=ROWS.keys())
async def test_an_invalid_input_has_its_status(server: RunningServer, case: Case) -> None:
    await check(server, case)


async def test_row_3_a_model_that_was_unloaded_is_unavailable(server: RunningServer) -> None:
    load, unload = (at(f"/v2/repository/models/scalar/{verb}", 200, body=b"") for verb in ("load", "unload"))
    await check(server, unload)
    await check(server, bad(tensor([1.0], shape=[]), model="scalar", status=503, named="scalar"))
    await check(server, at("/v2/models/scalar/versions/1/infer", 503, named="scalar"))
    await check(server, load)
    assert (await send(server, bad(tensor([1.0], shape=[]), model="scalar"))).status == 200


async def test_row_36_a_body_over_its_limit_is_too_large(server: RunningServer) -> None:
    too_long = request_bytes("POST", "/v2/models/free/infer", headers={"Content-Length": str(2**26 + 1)})
    async with connect(server.server.http.port) as connection:
        await connection.send(too_long.replace(b"Content-Length: 0\r\n", b""))
        answer = await connection.answer()
    assert answer.status == 413
    assert str(2**26) in answer.error
