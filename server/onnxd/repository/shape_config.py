"""What a model's config.yaml says of requests of different size. The docstrings are the schema's texts."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from onnxd.tensors import BatchKind, Datatype


def parse_pad(value: Any) -> int | float:
    """A number as it is written: as a float, a large integer would be another. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("expected a number, such as 0")


Name = Annotated[str, Field(min_length=1)]
Bucket = Annotated[int, Field(ge=1, le=2**31 - 1)]
Pad = Annotated[int | float, PlainValidator(parse_pad), WithJsonSchema({"type": "number"})]


@dataclass(frozen=True, slots=True)
class AxisConfig:
    """How requests of different size on one axis of the graph share a batch."""

    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1, max_length=64)]
    """The sizes that the graph is run with, ascending; a request is padded to the next, and refused above
    the last."""
    pad: Pad = 0
    """What inputs are padded with; text is padded with the empty text."""
    mask_input: Name | None = None
    """An input that the server fills where a client leaves it out: 1 for what is real, 0 for padding."""


@dataclass(frozen=True, slots=True)
class BatchInputConfig:
    """An input of the graph that the server makes for each run, from the shapes of the requests in it."""

    name: Name
    """The graph's name for it."""
    kind: BatchKind
    """What it tells of the requests."""
    source: Name
    """The input whose shapes it is about."""
    datatype: Datatype | None = None
    """Must be the graph's; stated to be checked at every load."""


Axes = Annotated[dict[Name, AxisConfig], Field(max_length=16)]
BatchInputs = Annotated[tuple[BatchInputConfig, ...], Field(max_length=64)]
