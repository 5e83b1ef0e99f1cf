"""The places in shared memory that one request names: found and held before its run, written after it."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from onnxd.errors import InvalidRequest, TensorMismatch
from onnxd.messages import InferRequest, SharedInput, SharedPlace
from onnxd.protocol.binary import decode_tensor, encode_tensor
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show
from onnxd.shared_memory.region import Region
from onnxd.shared_memory.regions import Regions
from onnxd.tensors import Array, Datatype

_STRINGS_WEIGHT: Final = 4
"""A byte of BYTES counts as so many: each element becomes a Python object, and back."""


class _Input(NamedTuple):
    name: str
    tensor: SharedInput
    region: Region


class _Output(NamedTuple):
    name: str
    place: SharedPlace
    region: Region


class Held:
    """What a request reads and writes. `read` and `write` may be called on any thread while it is held."""

    def __init__(self, request: InferRequest, regions: Regions) -> None:
        """Raises NotFound for a region that is not registered, and InvalidRequest for a place that is not
        within its region, or for outputs that would overwrite one another."""
        self.deadline_s: Final = request.deadline_s
        """The request's own, in seconds of time.monotonic()."""
        mine = request.principal
        self._inputs = [
            _Input(name, tensor, regions.find(mine, tensor.place.region))
            for name, tensor in request.shared_inputs.items()
        ]
        self._outputs = [
            _Output(wanted.name, wanted.place, regions.find(mine, wanted.place.region))
            for wanted in request.outputs
            if wanted.place is not None
        ]
        for name, tensor, region in self._inputs:
            _check_within(f"input {show(name)}", tensor.place, region)
        for name, place, region in self._outputs:
            _check_within(f"output {show(name)}", place, region)
        _check_disjoint(self._outputs)

    @property
    def input_bytes(self) -> int:
        """What `read` will copy."""
        return sum(tensor.place.byte_size for _, tensor, _ in self._inputs)

    @property
    def reading_weight(self) -> int:
        """How much work `read` is, in bytes that are merely copied."""
        return sum(
            tensor.place.byte_size * (_STRINGS_WEIGHT if tensor.datatype is Datatype.BYTES else 1)
            for _, tensor, _ in self._inputs
        )

    def writing_weight(self, outputs: Mapping[str, Array]) -> int:
        """How much work `write` is, in bytes that are merely copied."""
        arrays = (outputs[name] for name, _, _ in self._outputs)
        return sum(array.nbytes * (_STRINGS_WEIGHT if array.dtype.hasobject else 1) for array in arrays)

    def hold(self) -> None:
        """From now on, and until `release`, the regions stay open whatever becomes of their names."""
        for region in self._regions():
            region.hold()

    def release(self) -> None:
        for region in self._regions():
            region.release()

    def read(self, limits: ProtocolLimits) -> dict[str, Array]:
        """The inputs, copied. Raises InvalidRequest for bytes that are not such a tensor, or gone."""
        return {
            name: decode_tensor(
                name,
                tensor.datatype,
                tensor.shape,
                region.read(tensor.place.offset, tensor.place.byte_size),
                limits,
            )
            for name, tensor, region in self._inputs
        }

    def write(self, outputs: Mapping[str, Array]) -> frozenset[str]:
        """Write those of the outputs that have a place; their names.

        Raises TensorMismatch, before anything is written, when one of them does not fit its place, and what
        Region.write does.
        """
        contents = []
        for name, place, region in self._outputs:
            content = encode_tensor(outputs[name])
            if len(content) > place.byte_size:
                raise TensorMismatch(
                    f"output {show(name)}: expected room for {len(content)} bytes in shared memory region "
                    f"{show(place.region)}, got 'shared_memory_byte_size' {place.byte_size}"
                )
            contents.append((region, place.offset, content))
        for region, offset, content in contents:
            region.write(offset, content)
        return frozenset(name for name, _, _ in self._outputs)

    def _regions(self) -> Iterator[Region]:
        yield from (region for _, _, region in self._inputs)
        yield from (region for _, _, region in self._outputs)


def _check_within(where: str, place: SharedPlace, region: Region) -> None:
    size = region.row.byte_size
    if place.offset >= size or place.offset + place.byte_size > size:
        raise InvalidRequest(
            f"{where}: expected a place within shared memory region {show(place.region)}, which has {size} "
            f"bytes, got offset {place.offset} and size {place.byte_size}"
        )


def _check_disjoint(outputs: Iterable[_Output]) -> None:
    """Regions may be ranges of one object, so what counts is where in the object an output lies."""
    spans = sorted(
        (region.identity, region.row.offset + place.offset, place.byte_size, name)
        for name, place, region in outputs
        if place.byte_size
    )
    for (identity, start, size, name), (next_identity, next_start, _, next_name) in pairwise(spans):
        if identity == next_identity and next_start < start + size:
            raise InvalidRequest(
                f"outputs {show(name)} and {show(next_name)}: their places in shared memory overlap; give "
                "each a range of its own"
            )
