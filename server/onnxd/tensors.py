"""The vocabulary of tensors: datatypes of the protocol and what they are in NumPy.

Imports nothing of ours. BYTES tensors are object arrays of `str` everywhere inside the server, because
ONNX's string tensors are UTF-8 text and ONNX Runtime turns a `bytes` element into its repr; NumPy's `S`
dtype is never used, since it drops trailing NULs.
"""

import enum
from dataclasses import dataclass
from typing import Any, Final

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
"""A tensor in memory: C-contiguous, native byte order, possibly a read-only view over a received buffer."""


class Datatype(enum.Enum):
    """The datatypes of KServe v2, by the name they have on the wire."""

    BOOL = "BOOL"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"

    # There is one of each: what Enum has in place of this is a function in Python, for every look-up.
    __hash__ = object.__hash__

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype; object (of `str`) for BYTES."""
        return _DTYPES[self]

    @property
    def itemsize_bytes(self) -> int | None:
        """Bytes of one element on the wire; None for BYTES, whose elements vary."""
        return None if self is Datatype.BYTES else _DTYPES[self].itemsize

    @property
    def is_integer(self) -> bool:
        return _DTYPES[self].kind in "iu"

    @property
    def is_float(self) -> bool:
        return self in _FLOATS


_DTYPES: Final[dict[Datatype, np.dtype[Any]]] = {
    Datatype.BOOL: np.dtype(np.bool_),
    Datatype.INT8: np.dtype(np.int8),
    Datatype.INT16: np.dtype(np.int16),
    Datatype.INT32: np.dtype(np.int32),
    Datatype.INT64: np.dtype(np.int64),
    Datatype.UINT8: np.dtype(np.uint8),
    Datatype.UINT16: np.dtype(np.uint16),
    Datatype.UINT32: np.dtype(np.uint32),
    Datatype.UINT64: np.dtype(np.uint64),
    Datatype.FP16: np.dtype(np.float16),
    Datatype.BF16: np.dtype(ml_dtypes.bfloat16),
    Datatype.FP32: np.dtype(np.float32),
    Datatype.FP64: np.dtype(np.float64),
    Datatype.BYTES: np.dtype(np.object_),
}
_FLOATS: Final = frozenset({Datatype.FP16, Datatype.BF16, Datatype.FP32, Datatype.FP64})
_BY_DTYPE: Final = {dtype: datatype for datatype, dtype in _DTYPES.items()}


def datatype_of(array: Array) -> Datatype:
    """The protocol's datatype of an array. Raises KeyError for a dtype that the protocol does not have."""
    return _BY_DTYPE[array.dtype]


@dataclass(frozen=True, slots=True)
class DynamicAxis:
    """A dimension of inputs and outputs whose size differs from request to request."""

    name: str
    """The graph's symbol for it."""
    buckets: tuple[int, ...]
    """The sizes that the graph is run with, ascending: a request is padded to the next."""
    pad: int | float = 0
    """What inputs are padded with; text with the empty text."""


class BatchKind(enum.Enum):
    """What an input that the server makes for a run tells of the requests in it."""

    ELEMENT_COUNT = "element_count"
    """The elements of the source in each request."""
    ACCUMULATED_ELEMENT_COUNT = "accumulated_element_count"
    """Where each request's elements end."""
    ACCUMULATED_ELEMENT_COUNT_WITH_ZERO = "accumulated_element_count_with_zero"
    """The same, with a leading 0."""
    MAX_ELEMENT_COUNT_AS_SHAPE = "max_element_count_as_shape"
    """A tensor as long as the longest request, of zeros."""
    ITEM_SHAPE = "item_shape"
    """The shape of each row of the source, as [rows, dimensions]."""
    ITEM_SHAPE_FLATTEN = "item_shape_flatten"
    """The same in one dimension."""


@dataclass(frozen=True, slots=True)
class BatchInput:
    """An input of the graph that no client sends: the server makes it for each run."""

    name: str
    datatype: Datatype
    kind: BatchKind
    source: str
    """The input that it is about."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    `shape` has -1 for a free dimension and is without the batch dimension when the model batches.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    optional: bool = False
    labels: tuple[str, ...] = ()
    reshape: tuple[int, ...] | None = None
    """The shape that the graph has for it, where that is not the clients'; the same elements."""
    axes: tuple[str | None, ...] = ()
    """For each dimension of `graph_shape` the dynamic axis that it is; empty = none is."""
    is_mask: bool = False
    """The server fills it where a client leaves it out: 1 for what the request has, 0 for padding."""
    ragged: bool = False
    """An input that the graph takes flat: the elements of all requests of a run, one after the other."""
    scatter: str | None = None
    """Of an output that the graph gives flat: the input whose shape says how much of it each request has."""

    @property
    def graph_shape(self) -> tuple[int, ...]:
        """Like `shape`, as the graph has it."""
        return self.shape if self.reshape is None else self.reshape


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a client may send to one version of a model and what it gets back."""

    name: str
    version: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    """Rows; 0 = the model does not batch, and shapes are complete."""
    platform: str = "onnxruntime_onnx"
    axes: tuple[DynamicAxis, ...] = ()
    """Those that requests are padded on."""
    batch_inputs: tuple[BatchInput, ...] = ()

    @property
    def is_ragged(self) -> bool:
        """Requests are put together by their elements, or told apart by inputs that the server makes."""
        return bool(self.batch_inputs) or any(
            tensor.ragged or tensor.scatter for tensor in (*self.inputs, *self.outputs)
        )

    @property
    def batches(self) -> bool:
        return self.max_batch_size > 0

    def wire_shape(self, tensor: TensorSpec) -> tuple[int, ...]:
        """The shape as metadata shows it: with a leading -1 when the model batches."""
        return (-1, *tensor.shape) if self.batches else tensor.shape

    def input(self, name: str) -> TensorSpec | None:
        return next((tensor for tensor in self.inputs if tensor.name == name), None)

    def output(self, name: str) -> TensorSpec | None:
        return next((tensor for tensor in self.outputs if tensor.name == name), None)
