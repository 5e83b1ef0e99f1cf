"""Bytes that atheris makes up, guided by what they reach, into everything that reads a client's.

    python -m benchmarks.fuzz_codecs [--seconds N] [--corpus DIR] [-- LIBFUZZER OPTIONS]

JSON with and without a binary tail, raw tensors, protobuf, compressed bodies, and the flat form of generate.
What is read is checked against a model and answered again, as the server does. Whatever comes, the only error
is a ServerError that is not an opaque one, and nothing takes longer than SLOW_S. Ends at the first that is
not so, with the input as a file (crash-..., slow-unit-... or timeout-...) in the corpus' directory; that file
as the only option behind -- runs it again. Needs the dependency group `fuzz`.
"""

import argparse
import gzip
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import atheris
import numpy as np

with atheris.instrument_imports(include=["onnxd.protocol"]):
    from benchmarks.payloads import JSON_LENGTH_HEADER, payload
    from onnxd.errors import ServerError
    from onnxd.messages import InferRequest, InferResponse
    from onnxd.protocol import json_request, json_response, proto_decoder, proto_response
    from onnxd.protocol.compression import decompress
    from onnxd.protocol.generate import decode_generate_request
    from onnxd.protocol.limits import ProtocolLimits
    from onnxd.protocol.validation import validate
    from onnxd.tensors import Datatype, ModelSpec, TensorSpec

SLOW_S: Final = 5
_LIMITS: Final = ProtocolLimits()
_DECODER: Final = proto_decoder.InferDecoder(_LIMITS)
_MOST_BYTES: Final = 1 << 20
_ROWS: Final = ModelSpec(
    "m",
    1,
    (TensorSpec("x", Datatype.FP32, (4,)), TensorSpec("t", Datatype.BYTES, (-1,), optional=True)),
    (TensorSpec("y", Datatype.FP32, (4,)),),
    max_batch_size=8,
)
_FREE: Final = ModelSpec(
    "m", 1, (TensorSpec("x", Datatype.BYTES, (-1, -1)),), (TensorSpec("y", Datatype.BYTES, (-1,)),)
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--corpus", type=Path, help="what has been found so far, and what is found")
    parser.add_argument("options", nargs="*", help="of libFuzzer, behind --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="onnxd-fuzz-") as scratch:
        corpus: Path = given.corpus or Path(scratch)
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(_seeds()):
            (corpus / f"seed-{number}").write_bytes(seed)
        bounds = (f"-max_total_time={given.seconds}", f"-timeout={SLOW_S}", "-max_len=4096")
        where = (f"-artifact_prefix={corpus}/",) if given.corpus else ()
        atheris.Setup([sys.argv[0], *bounds, *where, *(given.options or [str(corpus)])], one_input)
        atheris.Fuzz()


def one_input(data: bytes) -> None:
    """The first byte chooses the reader."""
    if not data:
        return
    reader = _READERS[data[0] % len(_READERS)]
    try:
        reader(data[1:])
    except ServerError as error:
        if type(error) is ServerError or not error.message:
            raise


def _json(data: bytes) -> None:
    _answer(json_request.decode_infer_request(data, None, model_name="m", model_version=None, limits=_LIMITS))


def _binary(data: bytes) -> None:
    """Two bytes of the header's value, then the body."""
    if len(data) < 2:
        return
    body = data[2:]
    length = json_request.parse_header_length(str(struct.unpack(">H", data[:2])[0]), len(body))
    _answer(json_request.decode_infer_request(body, length, model_name="m", model_version=1, limits=_LIMITS))


def _header(data: bytes) -> None:
    json_request.parse_header_length(data.decode("latin-1"), 100)


def _raw(data: bytes) -> None:
    one = ModelSpec("m", 1, _ROWS.inputs[:1], _ROWS.outputs, max_batch_size=8)
    _answer(json_request.decode_raw_request(data, one, model_version=None))


def _protobuf(data: bytes) -> None:
    _answer(_DECODER.open(data).decode(remember=True))


def _compressed(data: bytes) -> None:
    if len(decompress(data, _MOST_BYTES)) > _MOST_BYTES:
        raise AssertionError("more came out than may")


def _generate(data: bytes) -> None:
    _answer(decode_generate_request(data, _FREE, model_version=None, limits=_LIMITS))


def _answer(request: InferRequest) -> None:
    """What was read fits a model, or does not; and what fits can be answered in both forms."""
    for spec in (_ROWS, _FREE):
        try:
            validate(request, spec)
        except ServerError:
            continue
        y = np.zeros((2, 4), np.float32) if spec is _ROWS else np.array(["a", "é"], object)
        response = InferResponse("m", 1, request.id, {"y": y})
        json_response.encode_infer_response(request, response)
        proto_response.encode_infer_response(response)


_READERS: Final[tuple[Callable[[bytes], None], ...]] = (
    _json, _binary, _header, _raw, _protobuf, _compressed, _generate,
)  # fmt: skip


def _seeds() -> list[bytes]:
    """A good request of each form."""
    as_json, binary, proto = (payload(wire, "m", 4) for wire in ("http json", "http binary", "grpc"))
    length = struct.pack(">H", int(binary.headers[JSON_LENGTH_HEADER]))
    text = b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "\\u00e9"]}]}'
    return [
        b"\0" + as_json.body,
        b"\0" + text,
        b"\1" + length + binary.body,
        b"\x02" + b"42",
        b"\x03" + bytes(16),
        b"\x04" + proto.body[5:],
        b"\x05" + gzip.compress(as_json.body),
        b'\x06{"x": [["a"]], "parameters": {}}',
    ]


if __name__ == "__main__":
    main()
