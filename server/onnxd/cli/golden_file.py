"""Reading inputs for, and writing, a golden.npz."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from onnxd.cli.mistake import Mistake
from onnxd.tensors import Array


def read_inputs(path: Path) -> dict[str, Array]:
    """The arrays of an .npz by input name; of a golden.npz, its inputs. Raises Mistake."""
    inputs = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                section, slash, name = key.replace("inputs.", "input/", 1).partition("/")
                if slash and section == "input":
                    inputs[name] = arrays[key]
                elif not key.startswith(("output/", "outputs.")) and key not in ("rtol", "atol"):
                    inputs[key] = arrays[key]
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise Mistake(f"{path} is not what numpy.savez writes: {error}") from error
    if not inputs:
        raise Mistake(f"{path} has no inputs; expected an array for each, by the input's name")
    return {name: _sent(array) for name, array in inputs.items()}


def write_golden(
    path: Path,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    *,
    rtol: float | None,
    atol: float | None,
) -> None:
    """In one step. Raises Mistake."""
    arrays: dict[str, Array] = dict(_named("input", inputs))
    arrays.update(_named("output", outputs))
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value is not None:
            arrays[name] = np.asarray(value)
    draft = path.with_name(f".{path.name}.tmp")
    try:
        # Not numpy.savez: it takes the names as keywords, and they are the model's.
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        draft.replace(path)
    except OSError as error:
        raise Mistake(f"{path} cannot be written: {error.strerror}") from error


def _named(section: str, arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    for name, array in arrays.items():
        yield f"{section}/{name}", _stored(array)


def _sent(array: Array) -> Array:
    """As the client sends it: text as objects."""
    return array.astype(object) if array.dtype.kind in "US" else array


def _stored(array: Array) -> Array:
    """As numpy writes it without pickling: text as text, what it has no name for as its bytes."""
    if array.dtype == object:
        texts = [item if isinstance(item, str) else bytes(item).decode() for item in array.reshape(-1)]
        return np.array(texts, np.str_).reshape(array.shape)
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array
