"""Parameters of a request: the few that mean something here, and the rest, which are passed on.

Both wires use this; they differ in which reserved keys they know.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from onnxd.errors import MalformedPayload
from onnxd.messages import ParameterValue
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.wording import show

_RESERVED_PREFIX: Final = "triton_"
EMPTY_FINAL_RESPONSE: Final = "triton_enable_empty_final_response"
"""The one reserved key that clients do send, over gRPC: the C++ client with every request."""


class RequestParameters(NamedTuple):
    """What the parameters of a request say."""

    kept: Mapping[str, ParameterValue]
    """Sequence keys and custom ones."""
    priority: int
    queue_timeout_s: float | None
    binary_by_default: bool


NO_PARAMETERS: Final = RequestParameters({}, 0, None, False)


def read_request_parameters(
    values: Mapping[str, Any], limits: ProtocolLimits, *, http: bool
) -> RequestParameters:
    """Raises MalformedPayload for reserved keys, mistyped special ones, too many, and null, arrays, objects.

    `binary_data_output` is an ordinary parameter over gRPC, and `triton_enable_empty_final_response` is
    allowed only there (and kept).
    """
    check_parameter_count(values, limits, "the request")
    kept: dict[str, ParameterValue] = {}
    priority = 0
    queue_timeout_s: float | None = None
    binary_by_default = not http
    for key, value in values.items():
        if key == "binary_data_output" and http:
            binary_by_default = _boolean(key, value)
        elif key == "priority":
            priority = _unsigned(key, value)
        elif key == "timeout":
            microseconds = _unsigned(key, value)
            # 0 is how a client says that it has no wish of its own.
            queue_timeout_s = microseconds / 1e6 if microseconds else None
        elif key in ("sequence_start", "sequence_end"):
            kept[key] = _boolean(key, value)
        elif key == "sequence_id":
            kept[key] = value if type(value) is str else _unsigned(key, value)
        elif key.startswith(_RESERVED_PREFIX):
            if http or key != EMPTY_FINAL_RESPONSE:
                raise MalformedPayload(
                    f"parameter {show(key)}: keys that start with 'triton_' are reserved and must not be sent"
                    + ("" if http else f", except {EMPTY_FINAL_RESPONSE!r}")
                )
            kept[key] = _boolean(key, value)
        elif type(value) in (str, int, bool, float):
            kept[key] = value
        else:
            raise MalformedPayload(
                f"parameter {show(key)}: expected a string, an integer, a number or a boolean, got "
                f"{show(value)}"
            )
    return RequestParameters(kept, priority, queue_timeout_s, binary_by_default)


def check_parameter_count(values: Mapping[str, Any], limits: ProtocolLimits, where: str) -> None:
    """Raises MalformedPayload when there are too many."""
    if len(values) > limits.max_parameters:
        raise MalformedPayload(
            f"{where}: expected at most {limits.max_parameters} parameters, got {len(values)}"
        )


def read_classification(output: str, value: object) -> int:
    """The k of an output's `classification`. Raises MalformedPayload unless it is an integer above 0."""
    if type(value) is not int or value <= 0:
        raise MalformedPayload(
            f"output {show(output)}: expected parameter 'classification' to be an integer of at least 1, "
            f"got {show(value)}"
        )
    return value


def _boolean(key: str, value: object) -> bool:
    if type(value) is not bool:
        raise MalformedPayload(f"parameter {show(key)}: expected true or false, got {show(value)}")
    return value


def _unsigned(key: str, value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise MalformedPayload(
            f"parameter {show(key)}: expected an integer from 0 to 2**64 - 1, got {show(value)}"
        )
    return value
