"""What a model file refers to outside of itself, looked at before ONNX Runtime follows it.

A tensor's bytes may lie in another file, named in the model by whoever wrote that. ONNX Runtime checks most
of such references, with one gap after another found over the years; here each must be a plain relative path
to a regular file of the model's own copy, and say neither more nor less than the tensor's bytes.

Models in ONNX Runtime's own format (`.ort`) hold all of their tensors and can name no file.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnxd.errors import LoadFailed
from onnxd.runtime.graph_file import read_graph
from onnxd.runtime.ort_errors import UNPARSABLE
from onnxd.runtime.tensor_bits import bits_of

if TYPE_CHECKING:
    import onnx

ORT_SUFFIX: Final = ".ort"
"""ONNX Runtime goes by the name alone, in upper or lower case."""
MAX_TOTAL_BYTES: Final = 256 * 2**30
"""Of all tensors outside together; one range of a file counts as often as a tensor refers to it."""

_MARKERS: Final = (b"location", b"EPContext")
"""Without the bytes of one of these nothing can be referred to, however the rest is encoded."""
_CHUNK_BYTES: Final = 2**20
_MAX_LOCATION: Final = 1024
_MAX_SHOWN: Final = 80
_MAX_FAULTS: Final = 5
_COUNT: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_IN_MEMORY: Final = re.compile(r"_ORT_.*MEM_ADDR_")
"""ONNX Runtime's marker of a tensor at an address in its own memory, given as the offset."""
_KEYS: Final = frozenset({"location", "offset", "length", "checksum"})


class _Refused(Exception):
    """One rule that a reference breaks; the text goes on from its name."""


def check_references(path: Path, *, max_total_bytes: int = MAX_TOTAL_BYTES) -> None:
    """Raises LoadFailed naming tensor, file and rule for a reference that ONNX Runtime must not follow.

    For the trial's child process: reading a stranger's file may take all memory or for ever. What is no
    regular file, or empty, is left for whoever opens it to tell.
    """
    if path.suffix.lower() == ORT_SUFFIX or not path.is_file() or not _mentions_files(path):
        return
    model = read_graph(path)
    if model is None:
        raise LoadFailed(f"{path.name} {UNPARSABLE}")
    total, faults = _check_all(model, path.parent)
    if total > max_total_bytes:
        faults.append(
            f"its tensors in other files take {total} bytes, more than the limit of {max_total_bytes}"
        )
    if faults:
        shown = faults[:_MAX_FAULTS] + (["and more"] if len(faults) > _MAX_FAULTS else [])
        raise LoadFailed(f"{path.name}: {'; '.join(shown)}")


def _check_all(model: onnx.ModelProto, directory: Path) -> tuple[int, list[str]]:
    """The bytes that all references take together, and the first faults."""
    total = 0
    faults: list[str] = []
    for name, reference in _references(model):
        try:
            total += reference(directory)
        except _Refused as refusal:
            faults.append(f"{name} {refusal}")
        if len(faults) > _MAX_FAULTS:
            break
    return total, faults


def _mentions_files(path: Path) -> bool:
    """Whether the file holds any of the markers: far cheaper to find out than to read it as a graph."""
    overlap = max(map(len, _MARKERS)) - 1
    with path.open("rb") as file:
        tail = b""
        while chunk := file.read(_CHUNK_BYTES):
            window = tail + chunk
            if any(marker in window for marker in _MARKERS):
                return True
            tail = window[-overlap:]
    return False


_Reference = Callable[[Path], int]
"""Checks one reference against the model's directory; the bytes that it takes. Raises _Refused."""


def _references(model: onnx.ModelProto) -> Iterator[tuple[str, _Reference]]:
    """Everything that names a file, with what to call it."""
    import onnx

    for message, holder in _messages(model):
        if isinstance(message, onnx.TensorProto):
            if message.data_location == onnx.TensorProto.EXTERNAL:
                yield _called(message, holder), partial(_check_tensor, message)
        elif message.op_type == "EPContext" and (location := _context_file(message)):
            yield f"node '{_shown(message.name)}' (EPContext)", partial(_size_of, location)


def _messages(model: onnx.ModelProto) -> Iterator[tuple[Any, str]]:
    """The nodes and tensors of a model, however deep, each with the node and attribute that hold it.

    By the schema's own description of itself: initializers, sparse ones, attributes and lists of them,
    control flow, functions and their defaults, training graphs, and what a later schema adds.
    """
    import onnx

    fields = _fields_to_tensors(onnx.ModelProto.DESCRIPTOR)
    waiting: list[tuple[Any, str]] = [(model, "")]
    while waiting:
        message, holder = waiting.pop()
        kind = message.DESCRIPTOR.name
        if kind in ("NodeProto", "TensorProto"):
            yield message, holder
        if kind == "NodeProto":
            holder = f"node '{_shown(message.name or message.op_type)}'"
        elif kind == "AttributeProto":
            holder = f"attribute '{_shown(message.name)}'" + (f" of {holder}" if holder else "")
        for name, repeated in fields[kind]:
            if repeated:
                waiting += [(below, holder) for below in getattr(message, name)]
            elif message.HasField(name):
                waiting.append((getattr(message, name), holder))


def _fields_to_tensors(descriptor: Any) -> dict[str, list[tuple[str, bool]]]:
    """Of each message that holds tensors or nodes: the fields that lead there, and whether they repeat."""
    below: dict[str, list[tuple[str, bool, str]]] = {}
    waiting = [descriptor]
    while waiting:
        message = waiting.pop()
        if message.name not in below:
            children = [field for field in message.fields if field.message_type is not None]
            below[message.name] = [(each.name, each.is_repeated, each.message_type.name) for each in children]
            waiting += [field.message_type for field in children]
    leading = {"TensorProto", "NodeProto"}
    while (
        grown := {name for name, fields in below.items() if any(kind in leading for *_, kind in fields)}
        - leading
    ):
        leading |= grown
    return {
        message: [(name, repeated) for name, repeated, kind in below[message] if kind in leading]
        for message in leading
    }


def _called(tensor: onnx.TensorProto, holder: str) -> str:
    if tensor.name:
        return f"tensor '{_shown(tensor.name)}'"
    return f"the tensor in {holder}" if holder else "a tensor without a name"


def _check_tensor(tensor: onnx.TensorProto, directory: Path) -> int:
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in entries:
            raise _Refused(f"states the {_shown(entry.key)} of its data twice")
        value: str | bytes = entry.value
        if isinstance(value, bytes):
            raise _Refused(f"states the {_shown(entry.key)} of its data in text that is not UTF-8")
        entries[entry.key] = value
    if unknown := [key for key in entries if key not in _KEYS]:
        raise _Refused(f"states '{_shown(unknown[0])}' of its data; expected {', '.join(sorted(_KEYS))}")
    location = entries.get("location", "")
    if not location:
        raise _Refused("lies in another file without saying in which")
    needed = _needed_bytes(tensor)
    size = _size_of(location, directory)
    offset = _count(entries, "offset", location) or 0
    length = _count(entries, "length", location)
    if length is not None and length != needed:
        raise _Refused(
            f"takes {length} bytes of '{_shown(location)}'; its type and dimensions need {needed} bytes"
        )
    if offset + needed > size:
        raise _Refused(
            f"needs bytes {offset} to {offset + needed} of '{_shown(location)}', which has {size} bytes"
        )
    return needed


def _needed_bytes(tensor: onnx.TensorProto) -> int:
    bits = bits_of(tensor.data_type)
    if bits is None:
        raise _Refused(f"lies in another file, which elements of type {tensor.data_type} cannot")
    if any(size < 0 for size in tensor.dims):
        raise _Refused(f"has a negative dimension: {list(tensor.dims)}")
    return -(-math.prod(tensor.dims) * bits // 8)  # rounded up: two of four bits share a byte


def _count(entries: dict[str, str], key: str, location: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if _COUNT.fullmatch(text) is None or int(text) >= 2**63:
        raise _Refused(
            f"states the {key} '{_shown(text)}' in '{_shown(location)}'; "
            "expected a whole number of bytes, zero or more"
        )
    return int(text)


def _size_of(location: str, directory: Path) -> int:
    """The size of the file that a location names."""
    file = f"refers to the file '{_shown(location)}'"
    if problem := location_problem(location):
        raise _Refused(f"{file}, which {problem}")
    place = os.fspath(directory)
    status = os.stat(place)
    for part in location.split("/"):
        if part in ("", "."):
            continue
        place = os.path.join(place, part)
        try:
            status = os.lstat(place)
        except OSError as error:
            raise _Refused(f"{file}, which is not there: {error.strerror}") from error
        if stat.S_ISLNK(status.st_mode):
            raise _Refused(f"{file}, which is reached by a symbolic link")
    if not stat.S_ISREG(status.st_mode):
        raise _Refused(f"{file}, which is not a regular file")
    if status.st_nlink > 1:
        raise _Refused(f"{file}, which has other names too (hard links) and may be somebody else's file")
    return status.st_size


def location_problem(location: str) -> str:
    """Why a location cannot be a plain relative path into the model's own directory; empty if it is one."""
    if _IN_MEMORY.search(location):
        return "stands for an address in memory"
    if len(location) > _MAX_LOCATION:
        return f"is longer than {_MAX_LOCATION} characters"
    if any(ord(char) < 32 or ord(char) == 127 for char in location):
        return "has a control character in its name"
    if location.startswith(("/", "~")) or "\\" in location or _DRIVE.match(location):
        return "is not relative to the model's directory; expected a plain path such as weights.bin"
    if ".." in location.split("/"):
        return "leads out of the model's directory by '..'"
    if not location.strip("./"):
        return "is a directory"
    return ""


def _context_file(node: onnx.NodeProto) -> str:
    """The file of a graph that was compiled before, which some providers load; empty if it is in the node."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    embedded = attributes.get("embed_mode")
    context = attributes.get("ep_cache_context")
    if context is None or embedded is None or embedded.i != 0:
        return ""
    return str(context.s.decode("utf-8", "replace"))


def _shown(text: str | bytes) -> str:
    """Text of the model's; bytes where it is not the UTF-8 that it should be."""
    text = text if isinstance(text, str) else text.decode("utf-8", "replace")
    cut = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in cut)
