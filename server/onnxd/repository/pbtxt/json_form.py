"""A ModelConfig in the JSON form that the configuration endpoint answers -> a message."""

import re
from typing import Final

from google.protobuf import json_format

from onnxd.errors import LoadFailed, MalformedPayload, ServerError
from onnxd.protocol.json_text import parse_object
from onnxd.protocol.limits import ProtocolLimits
from onnxd.repository.document import shown
from onnxd.repository.pbtxt.text import Stated, unknown_field
from onnxd.repository.yaml_document import MAX_BYTES
from onnxd_protos import model_config_pb2 as config_pb

SOURCE: Final = "config"
"""What messages call it: the load parameter's name."""

_LIMITS: Final = ProtocolLimits(max_json_bytes=MAX_BYTES, max_json_depth=16)
"""The deepest that a ModelConfig goes is eight; protobuf's reader calls itself for each level."""
_NO_FIELD: Final = re.compile(
    r'Message type "([\w.]+)" has no field named "(.*?)" at "ModelConfig\.?(.*?)"\.'
)
_AROUND: Final = re.compile(r"^(?:Failed to parse \w+ field: )+")


def parse_json_config(text: str) -> Stated:
    """64-bit integers may be numbers or text. Raises MalformedPayload for what is no JSON object, LoadFailed
    for one that is no ModelConfig."""
    if not text:
        raise MalformedPayload(f"load parameter '{SOURCE}': expected a ModelConfig in JSON, such as {{}}")
    try:
        document = parse_object(text.encode(), _LIMITS)
    except UnicodeEncodeError as error:
        raise MalformedPayload(f"load parameter '{SOURCE}': not UTF-8 text") from error
    except ServerError as error:
        raise MalformedPayload(f"load parameter '{SOURCE}': {error.message}") from error
    message = config_pb.ModelConfig()
    try:
        json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        raise LoadFailed(f"{SOURCE}: {_explained(str(error))}") from error
    return Stated(SOURCE, message)


def _explained(text: str) -> str:
    text = _AROUND.sub("", text)
    if match := _NO_FIELD.match(text):
        place = f"{match[3]}: " if match[3] else ""
        return f"{place}{unknown_field(match[1], match[2])}"
    text = text.replace("inference.", "").replace("ModelConfig.", "").rstrip(".")
    return shown(text[:1].lower() + text[1:], 300)
