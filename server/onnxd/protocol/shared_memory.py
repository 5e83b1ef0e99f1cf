"""Shared memory as the wire describes it: where a tensor lies, what a region is, and what is registered.

Pure: what a key leads to is the business of onnxd.shared_memory. Offsets and sizes are Python's integers, so
no sum of them wraps.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from onnxd.errors import InvalidName, InvalidRequest, MalformedPayload, NotFound, PermissionDenied
from onnxd.messages import SharedInput, SharedPlace
from onnxd.protocol.binary import check_string_count
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show, show_shape
from onnxd.tensors import Datatype

_REGION: Final = "shared_memory_region"
_OFFSET: Final = "shared_memory_offset"
_SIZE: Final = "shared_memory_byte_size"
_LARGEST: Final = 2**63 - 1
_LONGEST_NAME: Final = 256
_KEY: Final = re.compile(r"/?([A-Za-z0-9._:-]{1,200})")
_RESERVED: Final = ("onnxd-", "sem.", "triton_python_backend_shm_region_")
"""Beginnings of keys that no client may use: segments of this server's own, the system's semaphores, and what
Triton keeps for its own processes, so that it is refused here too."""


class Registration(NamedTuple):
    """What a client registers under a region's name."""

    key: str
    """As the client wrote it: the name of a POSIX shared memory object, with or without its slash."""
    offset: int
    byte_size: int


class RegionRow(NamedTuple):
    """One region of a status answer."""

    name: str
    key: str
    offset: int
    byte_size: int


def names_place(parameters: Container[str]) -> bool:
    """Whether a tensor's parameters are about shared memory."""
    return _REGION in parameters or _SIZE in parameters or _OFFSET in parameters


def read_place(kind: Literal["input", "output"], name: str, values: Mapping[str, Any]) -> SharedPlace:
    """The place that a tensor's parameters name. Raises MalformedPayload.

    Whether there is such a region, and such a range in it, is not known here.
    """
    where = f"{kind} {show(name)}"
    if _REGION not in values:
        raise MalformedPayload(f"{where}: a place in shared memory needs '{_REGION}', got nothing")
    region = values[_REGION]
    if type(region) is not str:
        raise MalformedPayload(f"{where}: expected '{_REGION}' to be a region's name, got {show(region)}")
    if _SIZE not in values:
        raise MalformedPayload(f"{where}: '{_REGION}' needs '{_SIZE}' beside it")
    return SharedPlace(
        region, _unsigned(where, _OFFSET, values.get(_OFFSET, 0)), _unsigned(where, _SIZE, values[_SIZE])
    )


def shared_input(
    name: str,
    datatype: Datatype,
    shape: Sequence[int],
    count: int,
    place: SharedPlace,
    limits: ProtocolLimits,
) -> SharedInput:
    """An input of `count` elements in shared memory. Raises MalformedPayload when that cannot be its size:
    said before anything is read, and all that can be said then of BYTES."""
    itemsize = datatype.itemsize_bytes
    if itemsize is None:
        check_string_count(name, count, limits)
        fits, needed = place.byte_size >= 4 * count, f"at least {4 * count}"
    else:
        fits, needed = place.byte_size == itemsize * count, str(itemsize * count)
    if not fits:
        raise MalformedPayload(
            f"input {show(name)}: expected '{_SIZE}' to be {needed} for {datatype.value} of shape "
            f"{show_shape(shape)}, got {place.byte_size}"
        )
    return SharedInput(datatype, tuple(shape), place)


def read_output_place(
    name: str, values: Mapping[str, Any], *, binary: bool, classification: int
) -> SharedPlace:
    """The place of an output. Raises MalformedPayload, also for one that is asked for in a second form."""
    if classification:
        raise MalformedPayload(
            f"output {show(name)}: expected 'classification' or '{_REGION}', got both: classes cannot be "
            "written to shared memory"
        )
    if binary:
        raise MalformedPayload(f"output {show(name)}: expected 'binary_data' or '{_REGION}', got both")
    return read_place("output", name, values)


def check_region_name(name: str) -> str:
    """The name itself. Raises InvalidName. It names nothing outside of this server."""
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidName(
            f"region name {show(name)} is not valid: expected 1 to {_LONGEST_NAME} printable characters"
        )
    return name


def object_name(key: str, prefix: str) -> str:
    """The shared memory object that a key names: one file name, never a path.

    Raises InvalidName for a key of another form, and PermissionDenied for one that does not begin as the
    operator wants it, or as no client's may.
    """
    match = _KEY.fullmatch(key)
    if match is None or match[1] in (".", ".."):
        raise InvalidName(
            f"shared memory key {show(key)} is not valid: expected a slash and then 1 to 200 letters, "
            "digits, '.', '_', ':' or '-'"
        )
    name = match[1]
    if name.startswith(_RESERVED) or not name.startswith(prefix.removeprefix("/")):
        raise PermissionDenied(
            f"shared memory key {show(key)} is not one that clients of this server may use "
            "(the setting shared_memory.prefix)"
        )
    return name


def read_registration(document: Mapping[str, Any]) -> Registration:
    """The body of a register request. Raises MalformedPayload."""
    where = "register"
    for name in ("key", "byte_size"):
        if name not in document:
            raise MalformedPayload(f"{where}: expected '{name}' in the request, got nothing")
    key = document["key"]
    if type(key) is not str:
        raise MalformedPayload(f"{where}: expected 'key' to be a string, got {show(key)}")
    return Registration(
        key,
        _unsigned(where, "offset", document.get("offset", 0)),
        _unsigned(where, "byte_size", document["byte_size"]),
    )


def unknown_region(name: str) -> NotFound:
    """Nothing is registered under this name."""
    return NotFound(f"unknown shared memory region {show(name)}; register it first")


def cuda_is_not_supported(name: str) -> InvalidRequest:
    """The answer to every CUDA registration, whatever its handle."""
    return InvalidRequest(
        f"CUDA shared memory region {show(name)} cannot be registered: this server has no CUDA shared "
        "memory; use system shared memory, or send the tensors in the request"
    )


def status_document(rows: Iterable[RegionRow]) -> list[dict[str, Any]]:
    """What HTTP answers: an array, one entry for each region."""
    return [row._asdict() for row in rows]


def _unsigned(where: str, key: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise MalformedPayload(
            f"{where}: expected '{key}' to be an integer from 0 to {_LARGEST}, got {show(value)}"
        )
    return value
