"""The configuration that clients are shown: in Triton's form, whichever file the model was read from."""

import json
from typing import Any

from onnxd.protocol.config_document import config_document
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_file import parse_model_config
from onnxd.repository.model_spec import merge
from onnxd.repository.pbtxt.json_form import parse_json_config
from onnxd.repository.pbtxt.shown import as_triton
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy
from onnxd.tensors import Datatype

GRAPH = GraphSpec(
    (GraphTensor("x", Datatype.FP32, (-1, 4)), GraphTensor("flag", Datatype.BYTES, (-1,))),
    (GraphTensor("y", Datatype.FP32, (-1, 10)),),
)


def shown(text: str, *, pbtxt: bool = False, on_cpu: bool = True) -> dict[str, Any]:
    if pbtxt:
        loaded = translate(parse_text(text.encode(), "config.pbtxt"), "m", gpus=0)
    else:
        loaded = parse_model_config(text.encode())
    spec = merge("m", 1, loaded, GRAPH, {"y": ["a"] * 10})
    return config_document(as_triton(spec, loaded.config, loaded.stated, on_cpu=on_cpu))


def test_a_bare_model_shows_what_serves() -> None:
    assert shown("") == {
        "name": "m",
        "platform": "onnxruntime_onnx",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [_input("x", "TYPE_FP32", [-1, 4]), _input("flag", "TYPE_STRING", [-1])],
        "output": [_output("y", "TYPE_FP32", [-1, 10])],
        "instance_group": [_group()],
        "default_model_filename": "model.onnx",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
        "backend": "onnxruntime",
        "batch_input": [],
        "batch_output": [],
        "runtime": "",
    }


def test_a_batched_model_shows_its_queue_and_rows_that_are_scalars_as_reshaped() -> None:
    document = shown(
        """
        max_batch_size: 8
        outputs: [{name: y, labels: labels.txt}]
        batching: {max_queue_delay: 500us, max_queue_size: 9, default_timeout: 2s}
        versions: all
        """
    )
    assert document["dynamic_batching"] == {
        "preferred_batch_size": [8],
        "max_queue_delay_microseconds": 500,
        "preserve_ordering": False,
        "priority_levels": 0,
        "default_priority_level": 0,
        "default_queue_policy": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": 2_000_000,
            "allow_timeout_override": True,
            "max_queue_size": 9,
        },
        "priority_queue_policy": {},
    }
    assert document["input"][1] == {**_input("flag", "TYPE_STRING", [1]), "reshape": {"shape": []}}
    assert document["output"][0]["label_filename"] == "labels.txt"
    assert document["version_policy"] == {"all": {}}


def test_levels_and_their_policies_are_shown_and_read_back() -> None:
    document = shown(
        """
        max_batch_size: 8
        batching:
          max_queue_delay: 1ms
          preferred_sizes: [2, 4]
          timeout_action: delay
          default_timeout: 1s
          priority_levels: 3
          priorities: {2: {timeout_action: reject, max_queue_size: 5}}
        """
    )
    dynamic = document["dynamic_batching"]
    assert dynamic["preferred_batch_size"] == [2, 4]
    assert (dynamic["priority_levels"], dynamic["default_priority_level"]) == (3, 3)
    assert dynamic["default_queue_policy"]["timeout_action"] == "DELAY"
    assert dynamic["priority_queue_policy"] == {
        "2": {
            "timeout_action": "REJECT",
            "default_timeout_microseconds": 1_000_000,
            "allow_timeout_override": True,
            "max_queue_size": 5,
        }
    }
    again = translate(parse_json_config(json.dumps(document)), "m", gpus=0)
    assert again.config.batching.policy() == BatchPolicy(
        max_queue_delay=0.001,
        default_timeout=1.0,
        timeout_action="delay",
        preferred_sizes=(2, 4),
        priority_levels=3,
        default_priority=3,
        priorities={2: QueuePolicy(5, 1.0)},
    )


def test_levels_of_a_model_that_does_not_batch_are_shown_too() -> None:
    assert shown("batching: {priority_levels: 2}")["dynamic_batching"]["priority_levels"] == 2
    assert shown("batching: {preserve_ordering: true}")["dynamic_batching"]["preserve_ordering"] is True


def test_dynamic_batching_is_there_only_when_requests_are_put_together() -> None:
    traps = {
        "dynamic_batching",
        "sequence_batching",
        "ensemble_scheduling",
        "model_transaction_policy",
        "response_cache",
    }
    assert not traps & shown("").keys()
    assert not traps & shown("{max_batch_size: 8, batching: {dynamic: false}}").keys()
    assert traps & shown("max_batch_size: 8").keys() == {"dynamic_batching"}


def test_what_a_config_yaml_says_of_the_session_is_shown_as_triton_would_have_it() -> None:
    document = shown(
        """
        instances: 2
        providers: [{TensorrtExecutionProvider: {trt_fp16_enable: true}}, CPUExecutionProvider]
        session:
          {graph_optimization: basic, intra_op_threads: 3, execution_mode: parallel, memory_arena: false}
        warmup: {samples: [{count: 2, inputs: {x: {shape: [3, 4], datatype: FP32, fill: random}}}]}
        parameters: {mine: text}
        versions: [1, 3]
        """,
        on_cpu=False,
    )
    assert document["optimization"]["graph"] == {"level": -1}
    accelerators = document["optimization"]["execution_accelerators"]["gpu_execution_accelerator"]
    assert accelerators == [{"name": "tensorrt", "parameters": {"trt_fp16_enable": "True"}}]
    assert document["parameters"] == {
        "enable_mem_arena": {"string_value": "0"},
        "execution_mode": {"string_value": "1"},
        "intra_op_thread_count": {"string_value": "3"},
        "mine": {"string_value": "text"},
    }
    (sample,) = document["model_warmup"]
    assert (sample["batch_size"], sample["count"]) == (1, 2)
    assert sample["inputs"]["x"] == {"data_type": "TYPE_FP32", "dims": [3, 4], "random_data": True}
    assert document["instance_group"] == [{**_group(), "count": 2, "kind": "KIND_GPU"}]
    assert document["version_policy"] == {"specific": {"versions": [1, 3]}}


def test_what_a_config_pbtxt_says_is_shown_as_it_says_it() -> None:
    document = shown(
        """
        max_batch_size: 8
        dynamic_batching {
            preferred_batch_size: [4] priority_levels: 2 default_priority_level: 1
            default_queue_policy { max_queue_size: 7 }
        }
        instance_group [ { count: 2 kind: KIND_CPU }, { name: "own" kind: KIND_CPU host_policy: "p" } ]
        metric_tags { key: "team" value: "a" }
        optimization { cuda { graphs: true } }
        model_transaction_policy { }
        """,
        pbtxt=True,
    )
    dynamic = document["dynamic_batching"]
    assert (dynamic["preferred_batch_size"], dynamic["priority_levels"]) == ([4], 2)
    assert dynamic["default_queue_policy"] == {
        "timeout_action": "REJECT",
        "default_timeout_microseconds": 0,
        "allow_timeout_override": False,
        "max_queue_size": 7,
    }
    names = [(group["name"], group["count"]) for group in document["instance_group"]]
    assert names == [("m_0", 2), ("own", 1)]
    assert document["metric_tags"] == {"team": "a"}
    assert document["optimization"]["cuda"]["graphs"] is True
    assert document["model_transaction_policy"] == {"decoupled": False}


def test_ragged_batches_are_shown_as_triton_writes_them_and_can_be_sent_back() -> None:
    graph = GraphSpec(
        (GraphTensor("x", Datatype.FP32, (-1,)), GraphTensor("ends", Datatype.INT64, (-1,))),
        (GraphTensor("y", Datatype.FP32, (-1,)),),
    )
    loaded = parse_model_config(
        b"max_batch_size: 8\n"
        b"inputs: [{name: x, shape: [-1], ragged: true}]\n"
        b"outputs: [{name: y, shape: [-1], scatter: x}]\n"
        b"batch_inputs: [{name: ends, kind: accumulated_element_count, source: x}]\n"
    )
    spec = merge("m", 1, loaded, graph)
    document = config_document(as_triton(spec, loaded.config, None, on_cpu=True))
    assert document["input"] == [{**_input("x", "TYPE_FP32", [-1]), "allow_ragged_batch": True}]
    assert document["batch_input"] == [
        {
            "kind": "BATCH_ACCUMULATED_ELEMENT_COUNT",
            "target_name": ["ends"],
            "data_type": "TYPE_INT64",
            "source_input": ["x"],
        }
    ]
    assert document["batch_output"] == [
        {"target_name": ["y"], "kind": "BATCH_SCATTER_WITH_INPUT_SHAPE", "source_input": ["x"]}
    ]
    assert merge("m", 1, translate(parse_json_config(json.dumps(document)), "m", gpus=0), graph) == spec


def test_showing_changes_nothing_of_what_was_stated() -> None:
    loaded = translate(parse_text(b"max_batch_size: 8", "config.pbtxt"), "m", gpus=0)
    assert loaded.stated is not None
    before = loaded.stated.SerializeToString()
    as_triton(merge("m", 1, loaded, GRAPH), ModelConfig(max_batch_size=8), loaded.stated, on_cpu=True)
    assert loaded.stated.SerializeToString() == before


def _input(name: str, data_type: str, dims: list[int]) -> dict[str, Any]:
    return {
        "name": name,
        "data_type": data_type,
        "format": "FORMAT_NONE",
        "dims": dims,
        "is_shape_tensor": False,
        "allow_ragged_batch": False,
        "optional": False,
        "is_non_linear_format_io": False,
    }


def _output(name: str, data_type: str, dims: list[int]) -> dict[str, Any]:
    return {
        "name": name,
        "data_type": data_type,
        "dims": dims,
        "label_filename": "",
        "is_shape_tensor": False,
        "is_non_linear_format_io": False,
    }


def _group() -> dict[str, Any]:
    return {
        "name": "m",
        "count": 1,
        "gpus": [],
        "kind": "KIND_CPU",
        "profile": [],
        "passive": False,
        "secondary_devices": [],
        "host_policy": "",
    }
