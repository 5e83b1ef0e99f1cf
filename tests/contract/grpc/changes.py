"""What can be wrong with a request that is otherwise good."""

import struct
from collections.abc import Callable
from typing import Any

from onnxd_protos import grpc_service_pb2 as pb

Change = Callable[[pb.ModelInferRequest], object]


def change(**fields: Any) -> Change:
    """Sets fields of the request."""

    def apply(request: pb.ModelInferRequest) -> None:
        for name, value in fields.items():
            setattr(request, name, value)

    return apply


def first(**fields: Any) -> Change:
    """Sets fields of the first input; `shape` is a list of dimensions."""

    def apply(request: pb.ModelInferRequest) -> None:
        for name, value in fields.items():
            if name == "shape":
                request.inputs[0].shape[:] = value
            else:
                setattr(request.inputs[0], name, value)

    return apply


def raw(data: bytes) -> Change:
    """The bytes of the first input."""

    def apply(request: pb.ModelInferRequest) -> None:
        request.raw_input_contents[0] = data

    return apply


def each(*changes: Change) -> Change:
    def apply(request: pb.ModelInferRequest) -> None:
        for one in changes:
            one(request)

    return apply


def typed(field: str, values: list[Any], datatype: str = "FP32", shape: tuple[int, ...] = (1, 4)) -> Change:
    """The first and only input, in a field of `contents`."""

    def apply(request: pb.ModelInferRequest) -> None:
        del request.inputs[1:], request.raw_input_contents[:]
        request.inputs[0].datatype = datatype
        request.inputs[0].shape[:] = shape
        getattr(request.inputs[0].contents, field).extend(values)

    return apply


def parameter(name: str, kind: str, value: object) -> Change:
    return lambda request: setattr(request.parameters[name], kind, value)


def output(name: str, **parameters: Any) -> Change:
    def apply(request: pb.ModelInferRequest) -> None:
        added = request.outputs.add(name=name)
        for key, value in parameters.items():
            added.parameters[key].int64_param = value

    return apply


def both_contents(request: pb.ModelInferRequest) -> None:
    request.inputs[0].contents.fp32_contents.extend([1.0] * 4)


def rename(request: pb.ModelInferRequest) -> None:
    request.inputs[1].name = "z"


def twice(request: pb.ModelInferRequest) -> None:
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(request.raw_input_contents[0])


def only_first(request: pb.ModelInferRequest) -> None:
    del request.inputs[1:], request.raw_input_contents[1:]


def one_more(request: pb.ModelInferRequest) -> None:
    request.inputs.add(name="z", datatype="FP32", shape=[1, 4])
    request.raw_input_contents.append(bytes(16))


def second_of(rows: int) -> Change:
    def apply(request: pb.ModelInferRequest) -> None:
        request.inputs[1].shape[0] = rows
        request.raw_input_contents[1] = bytes(16 * rows)

    return apply


def both_of(rows: int) -> Change:
    return each(first(shape=[rows, 4]), raw(bytes(16 * rows)), second_of(rows))


def lengths(*parts: int | bytes) -> bytes:
    """BYTES elements, with lengths that may lie."""
    return b"".join(part if isinstance(part, bytes) else struct.pack("<I", part) for part in parts)


def many(name: str) -> Change:
    """10,000 parameters, or 100,000 outputs."""

    def apply(request: pb.ModelInferRequest) -> None:
        if name == "parameters":
            for number in range(10_000):
                request.parameters[str(number)].bool_param = True
        else:
            for number in range(100_000):
                request.outputs.add(name=str(number))

    return apply
