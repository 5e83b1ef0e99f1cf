"""A ModelConfig as JSON: as protobuf would print it, but with numbers where Triton has numbers."""

import json
from typing import Any

import orjson
import pytest
from google.protobuf import text_format
from google.protobuf.json_format import MessageToDict, ParseDict

from onnxd.protocol.config_document import config_document
from onnxd_protos import model_config_pb2 as config_pb

EVERYTHING = """
    name: "m" platform: "onnxruntime_onnx" backend: "onnxruntime" max_batch_size: 8
    version_policy { specific { versions: [1, 9223372036854775807] } }
    input { name: "x" data_type: TYPE_BF16 format: FORMAT_NCHW dims: [-1, 3] reshape { shape: [] } }
    output { name: "y" data_type: TYPE_STRING dims: 1 label_filename: "l.txt" is_shape_tensor: true }
    batch_input { kind: BATCH_ITEM_SHAPE target_name: "t" data_type: TYPE_INT32 source_input: "x" }
    batch_output { target_name: "y" source_input: "x" }
    optimization {
        graph { level: -1 } priority: PRIORITY_MAX input_pinned_memory { enable: true } eager_batching: true
        cuda { graphs: true graph_spec { batch_size: 1 input { key: "x" value { dim: [1, 2] } } } }
        execution_accelerators { gpu_execution_accelerator { name: "a" parameters { key: "a" value: "b" } } }
    }
    dynamic_batching {
        preferred_batch_size: [4, 8] max_queue_delay_microseconds: 18446744073709551615 priority_levels: 3
        default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 5 max_queue_size: 9 }
        priority_queue_policy { key: 2 value { default_timeout_microseconds: 7 } }
    }
    instance_group {
        name: "g" count: 2 kind: KIND_GPU gpus: [0, 1]
        rate_limiter { resources { name: "R" count: 1 } priority: 2 }
        secondary_devices { device_id: 3 }
    }
    cc_model_filenames { key: "7.5" value: "a.onnx" } metric_tags { key: "team" value: "b" }
    parameters { key: "execution_mode" value { string_value: "1" } }
    model_warmup { name: "w" batch_size: 1 count: 2 inputs { key: "x" value { dims: [3] zero_data: false } } }
    model_operations { op_library_filename: "lib.so" } model_transaction_policy { }
    model_repository_agents { agents { name: "checksum" parameters { key: "k" value: "v" } } }
    response_cache { enable: true } runtime: "r" default_model_filename: "model.onnx"
    model_metrics {
        metric_control { metric_identifier { family: "f" } histogram_options { buckets: [0.1, 1] } }
    }
"""
SEQUENCES = """
    sequence_batching {
        max_sequence_idle_microseconds: 5 iterative_sequence: true
        control_input { name: "START" control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0.1, 1] } }
        direct { max_queue_delay_microseconds: 3 minimum_slot_utilization: 0.1 }
        state { input_name: "i" output_name: "o" dims: [-1] initial_state { dims: [2] zero_data: true } }
    }
"""
ENSEMBLE = (
    'ensemble_scheduling { step { model_name: "a" model_version: -1 input_map { key: "x" value: "y" } } }'
)


def message_of(text: str) -> config_pb.ModelConfig:
    message: config_pb.ModelConfig = text_format.Parse(text, config_pb.ModelConfig())
    return message


def as_protobuf_prints(message: config_pb.ModelConfig) -> Any:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def with_numbers_as_text(document: Any) -> Any:
    """Protobuf's form has numbers of 32 bits beside text of 64: compared whichever they are."""
    return json.loads(json.dumps(document), parse_int=str, parse_float=str)


@pytest.mark.parametrize(
    "text", ["", EVERYTHING, SEQUENCES, ENSEMBLE], ids=["empty", "full", "sequence", "ensemble"]
)
def test_the_document_is_all_that_protobuf_would_print(text: str) -> None:
    message = message_of(text)
    assert with_numbers_as_text(config_document(message)) == with_numbers_as_text(as_protobuf_prints(message))


@pytest.mark.parametrize(
    "text", ["", EVERYTHING, SEQUENCES, ENSEMBLE], ids=["empty", "full", "sequence", "ensemble"]
)
def test_the_document_reads_back_as_the_same_message(text: str) -> None:
    message = message_of(text)
    written = orjson.loads(orjson.dumps(config_document(message)))
    assert ParseDict(written, config_pb.ModelConfig()) == message


def test_64_bit_integers_are_numbers_but_for_two_fields() -> None:
    document = config_document(message_of(EVERYTHING))
    assert document["input"][0]["dims"] == [-1, 3]
    assert document["version_policy"] == {"specific": {"versions": [1, 2**63 - 1]}}
    dynamic = document["dynamic_batching"]
    assert (dynamic["max_queue_delay_microseconds"], dynamic["priority_levels"]) == (2**64 - 1, 3)
    assert dynamic["default_queue_policy"]["default_timeout_microseconds"] == 5
    assert dynamic["priority_queue_policy"]["2"]["default_timeout_microseconds"] == 7
    assert document["model_warmup"][0]["inputs"]["x"]["dims"] == [3]
    assert document["optimization"]["cuda"]["graph_spec"][0]["input"]["x"]["dim"] == ["1", "2"]
    assert document["instance_group"][0]["secondary_devices"] == [{"kind": "KIND_NVDLA", "device_id": "3"}]
    state = config_document(message_of(SEQUENCES))["sequence_batching"]["state"][0]
    assert (state["dims"], state["initial_state"][0]["dims"]) == ([-1], [2])
    assert config_document(message_of(ENSEMBLE))["ensemble_scheduling"]["step"][0]["model_version"] == -1


def test_messages_that_are_not_there_have_no_key_and_those_that_are_have_all_of_theirs() -> None:
    empty = config_document(message_of(""))
    traps = {
        "dynamic_batching",
        "sequence_batching",
        "ensemble_scheduling",
        "model_transaction_policy",
        "response_cache",
    }
    assert not traps & empty.keys()
    full = config_document(message_of(EVERYTHING))
    assert full["model_transaction_policy"] == {"decoupled": False}
    assert full["input"][0]["reshape"] == {"shape": []}
    assert config_document(message_of("response_cache {}"))["response_cache"] == {"enable": False}


def test_a_32_bit_float_is_written_as_it_was_meant() -> None:
    sequences = config_document(message_of(SEQUENCES))["sequence_batching"]
    assert sequences["direct"]["minimum_slot_utilization"] == 0.1
    assert sequences["control_input"][0]["control"][0]["fp32_false_true"] == [0.1, 1.0]
