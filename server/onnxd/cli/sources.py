"""What the arguments of `onnxd infer` stand for: files, standard input, or values written out."""

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import orjson

from onnxd.cli.images import PixelRange, default_range, image_array, is_image
from onnxd.cli.wanted import Unfit, Wanted
from onnxd.tensors import Array, Datatype

_NPY: Final = b"\x93NUMPY"
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Source:
    """One argument with its content read."""

    label: str
    """For messages: the file's name, or the beginning of what was written."""
    kind: Literal["file", "text"]
    data: bytes
    json: bool = False
    """The file's name says that it is JSON."""


def read_source(word: str) -> Source:
    """A file's content, standard input's for `-`, or the word itself if it is no file. Raises Unfit."""
    if word == "-":
        return Source("standard input", "file", sys.stdin.buffer.read())
    path = Path(word)
    try:
        if path.is_file():
            return Source(word, "file", path.read_bytes(), json=path.suffix.lower() == ".json")
    except (OSError, ValueError) as error:
        # Text can be too long for a file's name, or hold a NUL; a file that exists but is not ours to read
        # is told as such.
        if isinstance(error, PermissionError):
            raise Unfit(f"{word} cannot be read: {error.strerror}") from error
    label = word if len(word) <= _SHOWN else f"{word[:_SHOWN]}..."
    return Source(label, "text", word.encode("utf-8", "surrogateescape"))


@dataclass(slots=True)
class Collected:
    """The tensors of one request by input name."""

    values: dict[str, Array] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was assumed that may be wrong, for the user to read."""

    def put(self, name: str, value: Array) -> None:
        if name in self.values:
            raise Unfit(f"input '{name}' is given twice")
        self.values[name] = value


def collect(words: Sequence[str], wanted: Mapping[str, Wanted], pixels: PixelRange | None) -> Collected:
    """The arguments as tensors. Raises Unfit.

    A word is NAME=VALUE if NAME is one of the model's inputs; without a name it is for the only input, or a
    JSON object of all.
    """
    given = Collected()
    for word in words:
        name, equals, rest = word.partition("=")
        if equals and name in wanted:
            _put(given, read_source(rest), wanted[name], pixels)
            continue
        source = read_source(word)
        everything = _object(source, wanted)
        if everything is not None:
            for each, value in everything.items():
                given.put(each, wanted[each].fit(value))
        elif len(wanted) == 1:
            (only,) = wanted.values()
            _put(given, source, only, pixels)
        else:
            inputs = ", ".join(wanted)
            raise Unfit(f"{source.label}: the model has {len(wanted)} inputs ({inputs}); write NAME={word}")
    return given


def _put(given: Collected, source: Source, wanted: Wanted, pixels: PixelRange | None) -> None:
    try:
        if not is_image(source.data):
            given.put(wanted.name, _value(source, wanted))
            return
        used = pixels or default_range(wanted)
        given.put(wanted.name, image_array(source.data, wanted, used))
        if pixels is None:
            given.notes.append(
                f"{source.label}: black is {used.black:g} and white is {used.white:g}; "
                "--pixels LOW:HIGH says otherwise"
            )
    except Unfit as error:
        raise Unfit(f"{source.label}: {error}") from error


def _object(source: Source, wanted: Mapping[str, Wanted]) -> dict[str, Any] | None:
    """A JSON object whose keys are inputs of the model; None if the source is something else."""
    if not source.data.lstrip().startswith(b"{"):
        return None
    try:
        value = orjson.loads(source.data)
    except orjson.JSONDecodeError:
        return None  # text that begins with a brace
    if not isinstance(value, dict) or not value:
        return None
    unknown = [name for name in value if name not in wanted]
    if len(unknown) == len(value) and not source.json:
        return None
    if unknown:
        inputs = ", ".join(wanted)
        raise Unfit(f"{source.label}: the model has no input '{unknown[0]}'; its inputs are {inputs}")
    return value


def _value(source: Source, wanted: Wanted) -> Array:
    if source.data.startswith(_NPY):
        return wanted.fit(_array(source))
    if wanted.datatype is Datatype.BYTES and not source.json:
        return wanted.fit(_text(source))
    return wanted.fit(_json(source))


def _array(source: Source) -> Array:
    try:
        array: Array = np.load(io.BytesIO(source.data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise Unfit(f"the array cannot be read: {error}") from error
    return array


def _text(source: Source) -> str:
    try:
        text = source.data.decode()
    except UnicodeDecodeError as error:
        raise Unfit("not UTF-8 text") from error
    return text.removesuffix("\n") if source.kind == "file" else text


def _json(source: Source) -> Any:
    try:
        return orjson.loads(source.data)
    except orjson.JSONDecodeError as error:
        if source.kind == "text":
            raise Unfit("there is no such file, and it is not JSON either") from error
        raise Unfit(f"neither an image (PNG, JPEG) nor a .npy array, and not JSON: {error}") from error
