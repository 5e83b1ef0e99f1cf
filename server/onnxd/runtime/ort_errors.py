"""ONNX Runtime's exceptions as ours: the one place where they are translated.

Its own classes say little (most failures of a run are a generic Fail), so the text decides. What it writes
holds paths of the server's disk, source lines and C++ signatures: none of that reaches a client.
"""

import re
from pathlib import Path
from typing import Final

from onnxd.errors import ExecutionFailed, LoadFailed, ModelUnavailable, ServerError, TensorMismatch

MAX_TEXT_CHARACTERS: Final = 600
UNPARSABLE: Final = "is not an ONNX model, only a part of one, or nested too deep: it cannot be parsed"

_OUT_OF_MEMORY: Final = (
    "Failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "Cannot allocate memory",
    "out of memory",
    "ALLOC_FAILED",
)
_TERMINATED: Final = "terminate flag"
_REQUEST_FAULTS: Final = (
    "INVALID_ARGUMENT",
    # Sizes that do not fit each other, found by an operator: generic failures in ONNX Runtime, but what the
    # client sent is what must change.
    "Attempting to broadcast an axis",
    "cannot be reshaped to the requested shape",
    "mismatch",
    "storage size overflowed",
    "shape.Size() must be >= 0",
)

_STATUS: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ")
_SOURCE_AND_SIGNATURE: Final = re.compile(
    r"/\S+\.(?:cc|cpp|cu|cuh|h|hpp|inc|inl):\d+ [^()\n]*?\((?:[^()]|\([^()]*\))*\)"
    r"(?: const)?(?: \[with [^\]]*\])? ?"
)
_SOURCE_AND_FUNCTION: Final = re.compile(r"(?:/\S*/)?[\w-]+\.(?:cc|cpp|cu|cuh|h|hpp|inc|inl):\d+ (?:\w+ )?")
_NODE: Final = re.compile(
    r"Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: "
)
_ADVICE: Final = "Please fix either the inputs/outputs or the model."
_LOADING: Final = re.compile(r"Load model from .*? failed:\s*")
_DIRECTORIES: Final = re.compile(
    r"(?<![\w.])/(?:app|data|dev|etc|home|media|mnt|models?|opt|private|proc|root|run|srv|tmp|usr|Users|var)/"
    r"(?:[^\s\"'/:]+/)*"
)


def is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(marker in str(error) for marker in _OUT_OF_MEMORY)


def run_failure(error: Exception) -> ServerError:
    """Ours for an exception of `run`; raise it `from` the original."""
    if isinstance(error, ServerError):
        return error
    text = str(error)
    if is_out_of_memory(error):
        return ModelUnavailable("there is not enough memory for this run; a smaller batch or input may fit")
    if _TERMINATED in text:
        return ExecutionFailed("the run was ended before it had finished")
    if isinstance(error, UnicodeError):
        return TensorMismatch("a BYTES element is not text that UTF-8 can hold")
    if any(marker in text for marker in _REQUEST_FAULTS):
        return TensorMismatch(f"the model cannot take these inputs: {tidy(text)}")
    return ExecutionFailed(f"the run failed: {tidy(text)}")


def load_failure(error: Exception, path: Path) -> LoadFailed:
    """Ours for an exception of building a session from `path`; raise it `from` the original."""
    if isinstance(error, LoadFailed):
        return error
    if is_out_of_memory(error):
        return LoadFailed(f"{path.name}: not enough memory to build the session")
    text = str(error)
    if "INVALID_PROTOBUF" in text:
        return LoadFailed(f"{path.name} {UNPARSABLE}")
    return LoadFailed(f"{path.name}: {tidy(text, path.parent)}")


def tidy(text: str, directory: Path | None = None) -> str:
    """One short line without paths of this machine, source lines, C++ signatures and status codes.

    `directory` (the model's) is cut wherever it appears, whatever its name; other paths where they start
    with a directory that servers commonly have. Names of nodes may look like paths, and stay.
    """
    if directory is not None:
        for known in {str(directory), str(directory.resolve())} - {"/", "."}:
            text = text.replace(f"{known}/", "").replace(known, "its directory")
    text = _STATUS.sub("", text)
    text = _SOURCE_AND_SIGNATURE.sub("", text)
    text = _SOURCE_AND_FUNCTION.sub("", text)
    text = _LOADING.sub("", text)
    text = _NODE.sub(lambda node: f"{node[1]}{f' ({node[2]})' if node[2] else ''}: ", text)
    text = _DIRECTORIES.sub("", text.replace(_ADVICE, ""))
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT_CHARACTERS else text[: MAX_TEXT_CHARACTERS - 3] + "..."
