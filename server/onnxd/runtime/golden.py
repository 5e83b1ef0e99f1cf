"""golden.npz: inputs, and the answers to them that a version must give before it may serve.

    input/NAME or inputs.NAME       an array as the model takes it, with the batch dimension
    output/NAME or outputs.NAME     what it must answer; outputs that are not there are not compared
    rtol, atol                      how far numbers with fractions may be off; optional

Whoever may write into the repository wrote it, and it is read and run in a trial's process.
"""

import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from onnxd.errors import LoadFailed, ServerError
from onnxd.runtime.graph import GraphTensor
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.tensors import Array, Datatype

GOLDEN: Final = "golden"
"""The examination's name."""
GOLDEN_FILE: Final = "golden.npz"
DEFAULT_RTOL: Final = 1e-3
DEFAULT_ATOL: Final = 1e-5
MAX_BYTES: Final = 256 * 2**20
"""Of all arrays together, unpacked."""
MAX_ARRAYS: Final = 256

_MEMBER: Final = ".npy"
_SECTIONS: Final = {"input": "inputs", "inputs": "inputs", "output": "outputs", "outputs": "outputs"}
_UNREADABLE: Final = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError)
_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(slots=True)
class Golden:
    """What the file holds."""

    inputs: dict[str, Array] = field(default_factory=dict)
    outputs: dict[str, Array] = field(default_factory=dict)
    rtol: float = DEFAULT_RTOL
    atol: float = DEFAULT_ATOL


def examine_golden(session: OnnxSession, _: Path, question: Mapping[str, Any]) -> dict[str, Any]:
    """Run the inputs and compare. `question`: the `file`; for tensors that clients see in another shape the
    graph's under `reshape`, and `lead`, the number of dimensions before that.

    Answers with the worst difference of each output. Raises LoadFailed for a file that cannot be used, and
    for an output that differs.
    """
    golden = read_golden(Path(question["file"]))
    inputs = _inputs(golden, session, question)
    known = {tensor.name: tensor for tensor in session.graph.outputs}
    for name in golden.outputs:
        if name not in known:
            raise _unfit(f"the model has no output '{name}'; it has {', '.join(map(repr, known))}")
    try:
        answers = session.run(inputs, tuple(golden.outputs))
    except ServerError as error:
        raise _unfit(f"the run of its inputs failed: {error.message}") from error
    worst = {}
    for name, expected in golden.outputs.items():
        answer = answers[name]
        if name in question["reshape"] and expected.size == answer.size:
            expected = expected.reshape(answer.shape)
        worst[name] = _compared(known[name], expected, answer, golden)
    return {"worst": worst, "rtol": golden.rtol, "atol": golden.atol}


def read_golden(path: Path) -> Golden:
    """Bounded in arrays and bytes. Raises LoadFailed."""
    golden = Golden()
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_ARRAYS:
                raise _unfit(f"it has {len(members)} arrays, more than {MAX_ARRAYS}")
            size = sum(member.file_size for member in members)
            if size > MAX_BYTES:
                raise _unfit(f"its arrays have {size} bytes, more than {MAX_BYTES}")
            for member in members:
                _put(golden, member.filename.removesuffix(_MEMBER), _array(archive, member))
    except OSError as error:
        raise _unfit(f"it cannot be read: {error.strerror}") from error
    except _UNREADABLE as error:
        raise _unfit(f"it is not what numpy.savez writes: {error}") from error
    if not golden.outputs:
        raise _unfit("it has no output to compare; add 'output/NAME'")
    return golden


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as file:
        header = _HEADERS.get(np.lib.format.read_magic(file))
        if header is None:
            raise ValueError(f"{member.filename} is in a form that is not known")
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects; text is stored as numpy.str_")
        # Before it is read: the array is made at once, in the size that the header claims.
        if math.prod(shape) * dtype.itemsize > member.file_size:
            raise ValueError(f"{member.filename} is shorter than it says")
    with archive.open(member) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _put(golden: Golden, name: str, array: Array) -> None:
    if name in ("rtol", "atol"):
        if (
            array.size != 1
            or array.dtype.kind not in "fiu"
            or not 0 <= float(array.reshape(-1)[0]) < math.inf
        ):
            raise _unfit(f"{name} is {array.tolist()!r:.60}; expected one number of at least 0")
        setattr(golden, name, float(array.reshape(-1)[0]))
        return
    for mark in "/.":
        section, found, tensor = name.partition(mark)
        if found and section in _SECTIONS:
            arrays = getattr(golden, _SECTIONS[section])
            if tensor in arrays:
                raise _unfit(f"'{tensor}' is among its {_SECTIONS[section]} twice")
            arrays[tensor] = array
            return
    raise _unfit(f"'{name}' is not known; expected input/NAME, output/NAME, rtol or atol")


def _inputs(golden: Golden, session: OnnxSession, question: Mapping[str, Any]) -> dict[str, Array]:
    known = {tensor.name: tensor for tensor in session.graph.inputs + session.graph.optional}
    inputs = {}
    for name, array in golden.inputs.items():
        if name not in known:
            raise _unfit(f"the model has no input '{name}'; it has {', '.join(map(repr, known))}")
        array = _of_datatype(known[name], array)
        if name in question["reshape"]:
            shape = (*array.shape[: question["lead"]], *question["reshape"][name])
            try:
                array = array.reshape(shape)
            except ValueError as error:
                raise _unfit(f"input '{name}' has shape {list(array.shape)}: {error}") from error
        inputs[name] = np.ascontiguousarray(array).reshape(array.shape)
    return inputs


def _of_datatype(tensor: GraphTensor, array: Array) -> Array:
    """Of the model's datatype: what numpy.savez cannot write as such is written as its bytes."""
    datatype = tensor.datatype
    if datatype is Datatype.BYTES and array.dtype.kind in "US":
        texts = array.astype(np.str_) if array.dtype.kind == "U" else np.char.decode(array, "utf-8")
        return texts.astype(object)
    if datatype is Datatype.BF16 and array.dtype.itemsize == 2 and array.dtype.kind in "Vu":
        return array.view(datatype.dtype)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if datatype is Datatype.BYTES or array.dtype != datatype.dtype:
        raise _unfit(f"'{tensor.name}' is {array.dtype}, but the model has {datatype.value} there")
    return array


def _compared(tensor: GraphTensor, expected: Array, answer: Array, golden: Golden) -> float:
    """The worst difference. Raises LoadFailed if it is too much."""
    name = tensor.name
    if expected.shape != answer.shape:
        shapes = f"{list(answer.shape)}, but {GOLDEN_FILE} expects {list(expected.shape)}"
        raise LoadFailed(f"output '{name}' has shape {shapes}")
    if not tensor.datatype.is_float:
        expected = _of_datatype(tensor, expected)
        wrong = np.asarray(answer != expected)
        if wrong.any():
            where = tuple(int(index[0]) for index in np.nonzero(wrong))
            raise _differs(name, where, expected, answer, "it must be equal", wrong)
        return 0.0
    if tensor.datatype is Datatype.BF16 and expected.dtype.kind in "Vu":
        expected = _of_datatype(tensor, expected)
    if expected.dtype.kind not in "fiu" and expected.dtype != tensor.datatype.dtype:
        raise _unfit(f"'{name}' is {expected.dtype}, but the model has {tensor.datatype.value} there")
    wanted, got = expected.astype(np.float64), answer.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.abs(got - wanted)
        allowed = golden.atol + golden.rtol * np.abs(wanted)
        same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
        wrong = ~(same | (np.isfinite(got) & np.isfinite(wanted) & (gap <= allowed)))
        if wrong.any():
            excess = np.where(wrong, np.nan_to_num(gap - allowed, nan=np.inf), -np.inf)
            where = tuple(int(index) for index in np.unravel_index(int(excess.argmax()), excess.shape))
            tolerance = (
                f"a difference of {gap[where]:.6g}, where {allowed[where]:.6g} is allowed "
                f"(rtol {golden.rtol:g}, atol {golden.atol:g})"
            )
            raise _differs(name, where, expected, answer, tolerance, wrong)
    return float(np.max(np.where(same, 0.0, gap), initial=0.0))


def _differs(
    name: str, where: tuple[int, ...], expected: Array, answer: Array, tolerance: str, wrong: Array
) -> LoadFailed:
    values = f"at {list(where)} it is {answer[where]!s:.60}, expected {expected[where]!s:.60}"
    count = f"{int(wrong.sum())} of {wrong.size} elements differ"
    return LoadFailed(f"output '{name}' is not what {GOLDEN_FILE} expects: {values}, {tolerance}; {count}")


def _unfit(text: str) -> LoadFailed:
    return LoadFailed(f"{GOLDEN_FILE}: {text}")
