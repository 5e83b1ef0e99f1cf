"""The backend's parameters and the warm-up."""

from typing import Final

from onnxd.repository.config import WarmupInput, WarmupSample
from onnxd.tensors import Datatype
from tests.contract.pbtxt.case import (
    Case,
    Refuses,
    Takes,
    Warns,
    parameter,
    warmup,
)

CASES: Final = (
    Case(
        "parameters.string_value",
        parameter("mine", "anything"),
        Takes(
            lambda seen: (seen.config.parameters, seen.shown["parameters"]),
            ({"mine": "anything"}, {"mine": {"string_value": "anything"}}),
        ),
    ),
    Case(
        "parameters.string_value",
        parameter("intra_op_thread_count", "3"),
        Takes(
            lambda seen: (
                seen.config.session.intra_op_threads,
                seen.shown["parameters"]["intra_op_thread_count"],
            ),
            (3, {"string_value": "3"}),
        ),
        "intra_op_thread_count",
    ),
    Case(
        "parameters.string_value",
        parameter("intra_op_thread_count", "few"),
        Refuses("parameters.intra_op_thread_count: expected an integer, got 'few'"),
        "intra_op_thread_count of no number",
    ),
    Case(
        "parameters.string_value",
        parameter("intra_op_thread_count", "-2"),
        Refuses("parameters.intra_op_thread_count: expected an integer from 0 to 1024, got -2"),
        "intra_op_thread_count below zero",
    ),
    Case(
        "parameters.string_value",
        parameter("inter_op_thread_count", "2"),
        Takes(lambda seen: seen.config.session.inter_op_threads, 2),
        "inter_op_thread_count",
    ),
    Case(
        "parameters.string_value",
        parameter("inter_op_thread_count", "0"),
        Takes(lambda seen: seen.config.session.inter_op_threads, 1),
        "inter_op_thread_count 0",
    ),
    Case(
        "parameters.string_value",
        parameter("execution_mode", "1"),
        Takes(lambda seen: seen.config.session.execution_mode, "parallel"),
        "execution_mode",
    ),
    Case(
        "parameters.string_value",
        parameter("execution_mode", "2"),
        Refuses("parameters.execution_mode: expected 0 (sequential) or 1 (parallel), got '2'"),
        "execution_mode 2",
    ),
    Case(
        "parameters.string_value",
        parameter("enable_mem_arena", "0"),
        Takes(lambda seen: seen.config.session.memory_arena, False),
        "enable_mem_arena",
    ),
    Case(
        "parameters.string_value",
        parameter("enable_mem_pattern", "false"),
        Takes(lambda seen: seen.config.session.memory_pattern, False),
        "enable_mem_pattern",
    ),
    Case(
        "parameters.string_value",
        parameter("enable_mem_pattern", "maybe"),
        Refuses("parameters.enable_mem_pattern: expected true, false, 1 or 0"),
        "enable_mem_pattern of neither",
    ),
    Case(
        "parameters.string_value",
        parameter("memory.enable_memory_arena_shrinkage", "cpu:0"),
        Warns("parameters.memory.enable_memory_arena_shrinkage: has no effect"),
        "arena shrinkage",
    ),
    Case(
        "parameters.string_value",
        parameter("session.use_device_allocator_for_initializers", "1"),
        Takes(
            lambda seen: seen.config.session.options, {"session.use_device_allocator_for_initializers": "1"}
        ),
        "device allocator",
    ),
    Case(
        "parameters.string_value",
        parameter("gpu_mem_limit", "1000000"),
        Warns("parameters.gpu_mem_limit: has no effect: the model runs on the CPU"),
        "gpu_mem_limit",
    ),
    Case(
        "parameters.string_value",
        parameter("cudnn_conv_algo_search", "5"),
        Refuses("parameters.cudnn_conv_algo_search: expected 0 (EXHAUSTIVE), 1 (HEURISTIC), 2 (DEFAULT)"),
        "cudnn_conv_algo_search",
    ),
    Case(
        "parameters.string_value",
        parameter("intra_op_thread_cont", "3"),
        Warns(
            "parameters.intra_op_thread_cont: is only shown to clients; did you mean intra_op_thread_count?"
        ),
        "misspelt",
    ),
    Case("model_warmup.name", warmup(""), Takes(lambda seen: seen.shown["model_warmup"][0]["name"], "w")),
    Case(
        "model_warmup.batch_size",
        warmup(""),
        Takes(
            lambda seen: seen.config.warmup.samples,
            (WarmupSample({"x": WarmupInput((4,), Datatype.FP32)}, batch_size=2),),
        ),
    ),
    Case(
        "model_warmup.batch_size",
        warmup("").replace("batch_size: 2", "batch_size: 9"),
        Refuses("model_warmup[0].batch_size: 9 rows are more than max_batch_size, which is 8"),
        "of more",
    ),
    Case(
        "model_warmup.batch_size",
        warmup("").replace("batch_size: 2", ""),
        Takes(lambda seen: seen.config.warmup.samples, ()),
        "of none",
    ),
    Case(
        "model_warmup.count", warmup("count: 3"), Takes(lambda seen: seen.config.warmup.samples[0].count, 3)
    ),
    Case(
        "model_warmup.inputs.data_type",
        warmup("").replace("data_type: TYPE_FP32 dims: [4] zero", "data_type: TYPE_INT8 dims: [4] zero"),
        Refuses("model_warmup[0].inputs.x.data_type: input 'x' is FP32, not INT8"),
    ),
    Case(
        "model_warmup.inputs.dims",
        warmup("").replace("dims: [4] zero", "dims: [5] zero"),
        Refuses(
            "model_warmup[0].inputs.x.dims: input 'x' takes shape [4] (without the batch dimension), got [5]"
        ),
    ),
    Case(
        "model_warmup.inputs.dims",
        warmup("").replace('key: "x"', 'key: "z"'),
        Refuses("model_warmup[0].inputs.z: the model has no input 'z'; it has 'x'"),
        "of an unknown input",
    ),
    Case(
        "model_warmup.inputs.zero_data",
        warmup(""),
        Takes(lambda seen: seen.config.warmup.samples[0].inputs["x"].fill, "zeros"),
    ),
    Case(
        "model_warmup.inputs.random_data",
        warmup("", "random_data: true"),
        Takes(lambda seen: seen.config.warmup.samples[0].inputs["x"].fill, "random"),
    ),
    Case(
        "model_warmup.inputs.input_data_file",
        warmup("", 'input_data_file: "x.bin"'),
        Warns("model_warmup[0].inputs.x.input_data_file: has no effect: data of files are not read"),
    ),
)
