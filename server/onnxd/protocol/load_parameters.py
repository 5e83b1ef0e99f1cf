"""The parameters of a load or unload call: a config and files in place of the repository's, the wish to go
back to what served before, or nothing.

The names of files are taken from a short list of forms and never used as paths: what they hold is written
under a directory of the server's own.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from onnxd.errors import MalformedPayload, PayloadTooLarge, PermissionDenied
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show

UNLOAD_DEPENDENTS: Final = "unload_dependents"
"""tritonclient always sends it. It is about ensembles; a model has no dependents, so it changes nothing."""

ROLLBACK: Final = "onnxd_rollback"
"""With true, a load goes back to what served before: there is no such call in the protocol."""

CONFIG: Final = "config"
FILE: Final = "file:"
MAX_FILES: Final = 64

_STEM: Final = r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_GRAPH_FILE: Final = re.compile(rf"[1-9][0-9]{{0,17}}/{_STEM}\.(?:onnx|onnx_data|data|bin|weights)")
_LABELS_FILE: Final = re.compile(rf"{_STEM}\.txt")
_MAX_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class LoadOverride:
    """What a load brings with it."""

    config: str
    """A ModelConfig in JSON."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """`<version>/<file>` or `<labels>.txt` -> content. Empty = the repository's own."""


def asks_rollback(parameters: Mapping[str, object]) -> bool:
    """Whether a load call means a rollback. Raises MalformedPayload for one that wants something else too."""
    if ROLLBACK not in parameters:
        return False
    value = parameters[ROLLBACK]
    if value is not True:
        raise MalformedPayload(f"load parameter '{ROLLBACK}': expected true, got {show(value)}")
    if others := sorted(parameters.keys() - {ROLLBACK}):
        raise MalformedPayload(
            f"load parameter '{ROLLBACK}' stands alone: what served before comes with its own config and "
            f"files; leave out {show(others[0])}"
        )
    return True


def load_override(
    parameters: Mapping[str, object], limits: ProtocolLimits, *, permitted: bool, base64_files: bool
) -> LoadOverride | None:
    """What the parameters ask for; None = load what the repository has.

    `base64_files`: the contents are text, as JSON has no bytes. Names and sizes are checked before anything
    is decoded. Raises PermissionDenied when overrides are switched off, MalformedPayload, PayloadTooLarge.
    """
    for name in sorted(parameters):
        if name != CONFIG and not name.startswith(FILE):
            expected = (
                f"'{CONFIG}', '{FILE}<version>/<file>' or '{ROLLBACK}'" if permitted else f"'{ROLLBACK}'"
            )
            raise MalformedPayload(f"load parameter {show(name)} is not known: expected {expected}")
        if not permitted:
            raise PermissionDenied(
                f"load parameter {show(name)} is not permitted here: a model is loaded as its directory has "
                "it (setting model_overrides)"
            )
    if not parameters:
        return None
    paths = {name: _path(name) for name in parameters if name != CONFIG}
    if len(paths) > MAX_FILES:
        raise MalformedPayload(f"a load brings at most {MAX_FILES} files, got {len(paths)}")
    if CONFIG not in parameters:
        raise MalformedPayload(f"load parameter {show(min(paths))} needs the parameter '{CONFIG}' beside it")
    config = parameters[CONFIG]
    if not isinstance(config, str):
        raise MalformedPayload(f"load parameter '{CONFIG}': expected text, got {show(config)}")
    for name in paths:
        if not isinstance(parameters[name], str if base64_files else bytes):
            expected = "in base64" if base64_files else "as bytes_param"
            got = show(parameters[name])
            raise MalformedPayload(
                f"load parameter {show(name)}: expected the file's content {expected}, got {got}"
            )
    _check_sizes((parameters[name] for name in paths), limits)
    return LoadOverride(config, {path: _content(name, parameters[name]) for name, path in paths.items()})


def check_unload_parameters(names: Iterable[str]) -> None:
    """Raises MalformedPayload for anything but `unload_dependents`."""
    for name in sorted(names):
        if name != UNLOAD_DEPENDENTS:
            raise MalformedPayload(
                f"unload parameter {show(name)} is not known: expected '{UNLOAD_DEPENDENTS}' or nothing"
            )


def _path(name: str) -> str:
    path = name.removeprefix(FILE)
    plain = max(map(len, path.split("/"))) <= _MAX_NAME
    if not plain or not (_GRAPH_FILE.fullmatch(path) or _LABELS_FILE.fullmatch(path)):
        raise MalformedPayload(
            f"load parameter {show(name)} is not valid: expected '{FILE}<version>/<file>' with a plain name "
            f"that ends in .onnx, .onnx_data, .data, .bin or .weights, or '{FILE}<labels>.txt'"
        )
    return path


def _check_sizes(contents: Iterable[object], limits: ProtocolLimits) -> None:
    size = 0
    for content in contents:
        if isinstance(content, str):
            size += len(content) // 4 * 3
        elif isinstance(content, bytes):
            size += len(content)
    if 0 <= limits.max_override_bytes < size:
        raise PayloadTooLarge(
            f"the files of the load have {size} bytes, over the limit of {limits.max_override_bytes} "
            "(the setting limits.max_override_bytes)"
        )


def _content(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        return bytes(value) if isinstance(value, bytes) else b""
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as error:  # binascii's own error among them
        raise MalformedPayload(
            f"load parameter {show(name)}: expected base64 without spaces or line breaks ({error})"
        ) from error
