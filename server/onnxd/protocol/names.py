"""What a model's name, a version and a request id may look like. Checked before anything touches a path."""

import re
from typing import Final

from onnxd.errors import InvalidName, MalformedPayload
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show

_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")


def check_model_name(name: str) -> str:
    """The name itself. Raises InvalidName for what could never be a directory of a repository."""
    if _MODEL_NAME.fullmatch(name) is None or ".." in name:
        raise InvalidName(
            f"model name {show(name)} is not valid: expected 1 to 128 letters, digits, '.', '_' or '-', a "
            "letter or digit first, and no '..'"
        )
    return name


def parse_version(text: str) -> int | None:
    """A version as the wire has it; None for "", which leaves the choice to the version policy.

    Raises InvalidName for anything but a positive integer of at most 18 digits without leading zeros.
    """
    if not text:
        return None
    if _VERSION.fullmatch(text) is None:
        raise InvalidName(
            f"model version {show(text)} is not valid: expected a positive integer such as '1', or nothing "
            "for the version that the model's policy chooses"
        )
    return int(text)


def check_request_id(value: object, limits: ProtocolLimits) -> str:
    """The id of a request; "" for none. Raises MalformedPayload."""
    if value is None or value == "":
        return ""
    if type(value) is not str:
        raise MalformedPayload(f"request 'id': expected a string, got {show(value)}")
    # len() first, so that a megabyte is not encoded to learn that it is too long.
    if len(value) > limits.max_id_bytes or len(value.encode("utf-8", "replace")) > limits.max_id_bytes:
        raise MalformedPayload(
            f"request 'id': expected at most {limits.max_id_bytes} bytes of UTF-8, got more"
        )
    if not value.isprintable():
        raise MalformedPayload(f"request 'id': expected printable text, got {show(value)}")
    return value
