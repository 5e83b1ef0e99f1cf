"""Buckets for people to read."""

from typing import Final

from onnxd.scheduler.item import BucketKey
from onnxd.tensors import Datatype

LONGEST: Final = 200
_DATATYPES: Final[dict[int, str]] = {datatype.dtype.num: datatype.value for datatype in Datatype}


def bucket_text(bucket: BucketKey) -> str:
    """`x FP32 [4], mask INT64 [4] -> y`, without the rows; "any" of a model that does not batch."""
    if not bucket:
        return "any"
    outputs, *inputs = bucket
    takes = ", ".join(map(_input_text, inputs))
    gives = ", ".join(map(str, outputs)) if isinstance(outputs, tuple) else str(outputs)
    text = f"{takes} -> {gives}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _input_text(of_key: object) -> str:
    match of_key:
        case (str() as name, int() as number, tuple() as shape):
            return f"{name} {_DATATYPES.get(number, '?')} [{','.join(map(str, shape))}]"
        case (str() as name, int() as number, None):
            return f"{name} {_DATATYPES.get(number, '?')} ragged"
        case _:
            return str(of_key)
