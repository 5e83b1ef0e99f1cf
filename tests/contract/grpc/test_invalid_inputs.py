"""Invalid inputs by the protocol's table of them, and by the tables C, D and E of faults as far as a message
can have them: each is refused with its code and in words that name the thing, alone and on a stream."""

from typing import Any

import numpy as np
import pytest

from onnxd.tensors import Array
from tests.contract.grpc.changes import (
    Change,
    both_contents,
    both_of,
    change,
    each,
    first,
    lengths,
    many,
    one_more,
    only_first,
    output,
    parameter,
    raw,
    rename,
    second_of,
    twice,
    typed,
)
from tests.support.grpc_server import GrpcServer, Refused, infer_request

PAIR: dict[str, Array] = {name: np.ones((1, 4), np.float32) for name in "ab"}
TEXT: dict[str, Array] = {"x": np.array(["one", "two"], object)}
FLAGS: dict[str, Array] = {"x": np.array([True, False])}
INVALID, MISSING = "INVALID_ARGUMENT", "NOT_FOUND"


def row(
    id: str, apply: Change, phrase: str, code: str = INVALID, inputs: dict[str, Array] | None = None
) -> Any:
    """One case: a good request, what is wrong with it, and what is said of it."""
    inputs = PAIR if inputs is None else inputs
    model = "pair" if inputs is PAIR else "text" if inputs is TEXT else "flags"
    return pytest.param(model, inputs, apply, code, phrase, id=id)


ROWS = [
    row("row-1-unknown model", change(model_name="nobody"), "unknown model 'nobody'", MISSING),
    row("row-2-unknown version", change(model_version="9"), "unknown version 9 of model 'pair'", MISSING),
    row("row-5-version not a number", change(model_version="x"), "model version 'x' is not valid"),
    row("row-11-a dimension of -1", first(shape=[-1, 4]), "input 'a': expected each dimension"),
    row("row-11-a dimension of -2147483648", first(shape=[-(2**31), 4]), "input 'a'"),
    row("row-12-no data", lambda request: request.ClearField("raw_input_contents"), "input 'a': no data"),
    row("row-12-data twice", both_contents, "input 'a': 'contents' must not be set"),
    row("row-16-unknown datatype", first(datatype="FLOAT"), "input 'a': expected 'datatype' to be one of"),
    row("row-17-wrong datatype", first(datatype="INT32"), "expects datatype FP32, got INT32"),
    row(
        "row-18-wrong shape",
        each(first(shape=[1, 8]), raw(bytes(32))),
        "expects shape [-1,4] (the first dimension is the batch, at most 8), got [1,8]",
    ),
    row("row-19-no batch dimension", each(first(shape=[]), raw(bytes(4))), "leading batch dimension"),
    row("row-20-different batches", second_of(2), "input 'b': expected a batch of 1 rows as input 'a' has"),
    row("row-21-batch over the maximum", both_of(9), "takes a batch of 1 to 8 rows, got 9"),
    row("row-22-an input is missing", only_first, "expects 2 inputs, got 1: missing input(s) 'b'"),
    row("row-22-an input too many", one_more, "expects 2 inputs, got 3: unexpected input(s) 'z'"),
    row("row-23-unexpected input", rename, "missing input(s) 'b'; unexpected input(s) 'z'"),
    row("row-24-unexpected output", output("z"), "model 'pair' has no output 'z'"),
    row("row-25-input twice", twice, "input 'a' appears twice"),
    row("row-25-output twice", each(output("y"), output("y")), "output 'y' appears twice"),
    row(
        "row-26-too few raw contents",
        lambda request: request.raw_input_contents.pop(),
        "input 'b': no data",
    ),
    row(
        "row-27-too many raw contents",
        lambda request: request.raw_input_contents.append(b""),
        "expected one entry of 'raw_input_contents' for each input, got 3 for 2",
    ),
    row("row-28-bytes and shape differ", raw(bytes(15)), "input 'a': expected 16 bytes for FP32"),
    row("row-30-a length is cut", raw(lengths(3, b"one", b"\0\0")), "input 'x'", inputs=TEXT),
    row("row-30-an element too few", raw(lengths(3, b"one")), "input 'x'", inputs=TEXT),
    row("row-30-an element too many", raw(lengths(1, b"a", 1, b"b", 1, b"c")), "input 'x'", inputs=TEXT),
    row("row-44-reserved parameter", parameter("triton_x", "bool_param", True), "'triton_x'"),
    row("row-44-priority is text", parameter("priority", "string_param", "1"), "'priority'"),
    row("row-44-priority is negative", parameter("priority", "int64_param", -1), "'priority'"),
    row("row-44-sequence_start is 1", parameter("sequence_start", "int64_param", 1), "'sequence_start'"),
    row("row-44-a parameter without a value", lambda r: r.parameters["p"].SetInParent(), "parameter 'p'"),
    # faults.md, table C: what JSON has in common with typed contents.
    row("C7-a field of another datatype-grpc", typed("int_contents", [1] * 4), "expected FP32 in"),
    row("C8-300 for UINT8-grpc", typed("uint_contents", [1, 300, 1, 1], "UINT8"), "got 300 at element 1"),
    row("C8--129 for INT8-grpc", typed("int_contents", [-129] * 4, "INT8"), "got -129 at element 0"),
    row("C8-2**16 for UINT16-grpc", typed("uint_contents", [2**16] * 4, "UINT16"), "got 65536"),
    row("C9-a value too few-grpc", typed("fp32_contents", [1.0] * 3), "needs 4 elements, but"),
    row("C9-a value too many-grpc", typed("fp32_contents", [1.0] * 5), "has 5"),
    row("C10-typed and raw-grpc", both_contents, "'contents' must not be set"),
    row("C10-neither-grpc", lambda request: request.ClearField("raw_input_contents"), "no data"),
    row("C11-an id of 1 MB-grpc", change(id="x" * 2**20), "request 'id': expected at most 256 bytes"),
    row("C11-an id with newlines-grpc", change(id="a\nb" * 100), "request 'id'"),
    row("C12-a reserved prefix-grpc", parameter("triton_y", "string_param", ""), "'triton_y'"),
    row("C12-10,000 parameters-grpc", many("parameters"), "at most 128 parameters, got 10000"),
    row("C13-an output twice-grpc", each(output("y"), output("y")), "appears twice"),
    row("C13-an unknown output-grpc", output("nothing"), "no output 'nothing'"),
    row("C13-100,000 outputs-grpc", many("outputs"), "at most 1024 outputs, got 100000"),
    row("C14-classification 0-grpc", output("y", classification=0), "an integer of at least 1"),
    row("C14-classification -1-grpc", output("y", classification=-1), "got -1"),
    row("C14-classes of BYTES-grpc", output("y", classification=1), "the output is BYTES", inputs=TEXT),
    # Table D.
    row("D1-a byte too few-grpc", raw(bytes(15)), "expected 16 bytes"),
    row("D1-a byte too many-grpc", raw(bytes(17)), "expected 16 bytes"),
    row("D2-an entry too many-grpc", lambda request: request.raw_input_contents.append(b"x"), "got 3 for 2"),
    row("D3-no whole FP32-grpc", raw(bytes(14)), "expected 16 bytes for FP32 of shape [1,4], got 14"),
    row("D4-an element too long-grpc", raw(lengths(3, b"one", 9, b"two")), "length of 9", inputs=TEXT),
    row("D4-a length of 0xFFFFFFFF-grpc", raw(lengths(3, b"one", 2**32 - 1)), "4294967295", inputs=TEXT),
    row("D4-the last length cut-grpc", raw(lengths(3, b"one", b"\1")), "input 'x'", inputs=TEXT),
    row("D4-fewer elements-grpc", raw(lengths(6, b"onetwo")), "input 'x'", inputs=TEXT),
    row("D4-more elements-grpc", raw(lengths(0, 0, 0)), "follow the last one", inputs=TEXT),
    row("D5-not UTF-8-grpc", raw(lengths(2, b"\xff\xfe", 0)), "BYTES element 0 is not UTF-8", inputs=TEXT),
    row("D5-Latin-1-grpc", typed("bytes_contents", [b"a", b"\xff"], "BYTES", (2,)), "UTF-8", inputs=TEXT),
    row("D6-a BOOL of 2-grpc", raw(b"\1\2"), "byte of 0 or 1, got 2 at element 1", inputs=FLAGS),
    row("D6-a BOOL of 0xFF-grpc", raw(b"\xff\0"), "got 255 at element 0", inputs=FLAGS),
    row("D7-FP16 in typed contents-grpc", typed("fp32_contents", [1.0] * 4, "FP16"), "FP16 has no field"),
    row("D7-BF16 in typed contents-grpc", typed("fp32_contents", [1.0] * 4, "BF16"), "BF16 has no field"),
    row("D9-INT8 as FP32-grpc", each(first(shape=[1, 2**24]), raw(bytes(2**24))), "67108864 bytes"),
    # Table E.
    row("E1-a dimension of -1-grpc", first(shape=[-1, 4]), "got [-1,4]"),
    row("E1-a dimension of -2**31-grpc", first(shape=[1, -(2**31)]), "input 'a'"),
    row("E1-a dimension of 0-grpc", each(first(shape=[1, 0]), raw(b"")), "expects shape [-1,4]"),
    row("E2-2**33 x 2**33-grpc", first(shape=[2**33, 2**33]), "input 'a'"),
    row("E2-2**62 x 4-grpc", first(shape=[2**62, 4]), "input 'a'"),
    row("E2-a size that wraps to 32 bytes-grpc", each(first(shape=[2**62 + 8]), raw(bytes(32))), "input 'a'"),
    row("E2-2**31-1 twice-grpc", first(shape=[2**31 - 1, 2**31 - 1]), "more elements than any request"),
    row("E3-65 dimensions-grpc", each(first(shape=[1] * 65), raw(bytes(4))), "at most 16 dimensions, got 65"),
    row("E3-no dimensions-grpc", each(first(shape=[]), raw(bytes(4))), "got a scalar"),
    row("E4-a batch of 0-grpc", both_of(0), "takes a batch of 1 to 8 rows, got 0"),
    row("E4-a batch over the maximum-grpc", both_of(9), "got 9"),
    row("E4-different batches-grpc", second_of(3), "expected a batch of 1 rows"),
    row("E5-another datatype-grpc", first(datatype="UINT32"), "expects datatype FP32, got UINT32"),
    row("E5-lower case-grpc", first(datatype="fp32"), "got 'fp32'"),
    row("E5-no datatype-grpc", first(datatype=""), "got ''"),
    row("E6-an input is missing-grpc", only_first, "missing input(s) 'b'"),
    row("E6-an input too many-grpc", one_more, "unexpected input(s) 'z'"),
    row("E6-an input twice-grpc", twice, "appears twice"),
    row("E7-as many elements in another shape-grpc", first(shape=[1, 2, 2]), "expects shape [-1,4]"),
    row("E7-rows and columns exchanged-grpc", first(shape=[4, 1]), "input 'a'"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "inputs", "apply", "code", "phrase"), ROWS)
async def test_an_invalid_request_is_refused(
    server: GrpcServer, model: str, inputs: dict[str, Array], apply: Change, code: str, phrase: str
) -> None:
    request = infer_request(model, inputs, id="7")
    apply(request)
    check(await server.calls.refusal("ModelInfer", request), code, phrase)

    stream = server.calls.stream()
    await stream.write(request)
    await stream.write(infer_request(model, inputs, id="8"))
    await stream.done_writing()
    refused, answered = await stream.read(), await stream.read()
    assert phrase in refused.error_message
    assert refused.infer_response.id == request.id
    assert (answered.error_message, answered.infer_response.id) == ("", "8")


def check(refused: Refused, code: str, phrase: str) -> None:
    assert (refused.code.name, refused.details) == (code, refused.details)
    assert phrase in refused.details
    assert "Traceback" not in refused.details
    assert len(refused.details) < 3100


class TestAccepted:
    """What stands beside the invalid rows and is fine."""

    @pytest.mark.parametrize(
        ("model", "inputs"),
        [
            pytest.param("wide", {"x": np.ones(0, np.float32)}, id="E1-0 where it is allowed-grpc"),
            pytest.param("scalar", {"x": np.array(2.5, np.float32)}, id="E3-a scalar-grpc"),
            pytest.param(
                "pair", {name: np.ones((8, 4), np.float32) for name in "ab"}, id="E4-a full batch-grpc"
            ),
            pytest.param("text", {"x": np.array(["a\0b\0", ""], object)}, id="D5-embedded NUL-grpc"),
            pytest.param("text", {"x": np.array([""] * 2**20, object)}, id="D5-1 M empty elements-grpc"),
        ],
    )
    async def test_it_is_answered(self, server: GrpcServer, model: str, inputs: dict[str, Array]) -> None:
        request = infer_request(model, inputs)
        answer = await server.calls.ask("ModelInfer", request)
        assert list(answer.raw_output_contents) == list(request.raw_input_contents)

    async def test_no_outputs_named_are_all(self, server: GrpcServer) -> None:
        answer = await server.calls.ask("ModelInfer", infer_request("pair", PAIR))
        assert [output.name for output in answer.outputs] == ["y", "y1"]

    @pytest.mark.parametrize("count", [pytest.param(99, id="C14-more classes than there are-grpc")])
    async def test_all_the_classes_that_there_are(self, server: GrpcServer, count: int) -> None:
        request = infer_request("pair", PAIR)
        output("y", classification=count)(request)
        answer = await server.calls.ask("ModelInfer", request)
        assert list(answer.outputs[0].shape) == [1, 4]
