"""A ModelConfig in JSON, from whoever may load models: it is read, or refused in one line."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import LoadFailed, MalformedPayload
from onnxd.protocol.config_document import config_document
from onnxd.repository.pbtxt.json_form import parse_json_config
from onnxd.repository.pbtxt.translation import translate
from onnxd_protos import model_config_pb2 as config_pb


def keys(descriptor: Any) -> set[str]:
    found = set()
    waiting = [descriptor]
    while waiting:
        message = waiting.pop()
        for field in message.fields:
            if field.name not in found and field.message_type is not None:
                waiting.append(field.message_type)
            found.add(field.name)
    return found


def refusal(text: str) -> str:
    """Why the config cannot be; empty if it can."""
    try:
        translate(parse_json_config(text), "m", gpus=0)
    except (LoadFailed, MalformedPayload) as error:
        return error.message
    return ""


KEYS = st.sampled_from(sorted(keys(config_pb.ModelConfig.DESCRIPTOR)))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["TYPE_FP32", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_no_document_does_more_than_be_refused(document: dict[str, Any]) -> None:
    assert len(refusal(json.dumps(document))) < 20_000


@given(st.text(max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    assert "\n" not in refusal(text)


def test_what_is_answered_is_read_back() -> None:
    message = config_pb.ModelConfig(name="m", max_batch_size=3)
    message.input.add(name="x", dims=[-1, 2**62])
    message.dynamic_batching.max_queue_delay_microseconds = 2**64 - 1
    message.version_policy.specific.versions.append(2**63 - 1)
    assert parse_json_config(json.dumps(config_document(message))).message == message
