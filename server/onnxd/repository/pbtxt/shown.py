"""What serves, as Triton's ModelConfig: for clients, whichever file it was read from."""

from typing import Any, Final

from onnxd.repository.config import BatchingSection, ModelConfig, provider_name
from onnxd.repository.pbtxt.translation import BACKEND, PLATFORM
from onnxd.scheduler.queue_policy import QueuePolicy
from onnxd.tensors import Datatype, ModelSpec, TensorSpec
from onnxd_protos import model_config_pb2 as config_pb

_LEVELS: Final = {"basic": -1, "extended": 1, "disable": 2}
_ACCELERATORS: Final = {
    "TensorrtExecutionProvider": ("gpu_execution_accelerator", "tensorrt"),
    "OpenVINOExecutionProvider": ("cpu_execution_accelerator", "openvino"),
}


def as_triton(
    spec: ModelSpec, config: ModelConfig, stated: config_pb.ModelConfig | None, *, on_cpu: bool
) -> config_pb.ModelConfig:
    """A new message: what was stated in this form, if anything, completed by what is in force.

    Clients go by which messages are there: perf_analyzer takes `dynamic_batching` and `sequence_batching`
    for a statement, and so they are only there when they are one.
    """
    message = config_pb.ModelConfig()
    if stated is not None:
        message.CopyFrom(stated)
    else:
        _state(message, config)
    message.name, message.platform, message.backend = spec.name, PLATFORM, BACKEND
    message.max_batch_size = spec.max_batch_size
    message.default_model_filename = config.file
    _complete_versions(message, config)
    _complete_tensors(message, spec, config)
    _complete_ragged(message, spec)
    _complete_groups(message, config, on_cpu=on_cpu)
    _complete_batching(message, config, batches=spec.batches)
    return message


def data_type(datatype: Datatype) -> int:
    """TYPE_STRING for BYTES, else the name with TYPE_ before it."""
    name = "STRING" if datatype is Datatype.BYTES else datatype.value
    return config_pb.DataType.Value(f"TYPE_{name}")


def _state(message: config_pb.ModelConfig, config: ModelConfig) -> None:
    """What a config.yaml says beyond what every model has."""
    session = config.session
    if session.graph_optimization in _LEVELS:
        message.optimization.graph.level = _LEVELS[session.graph_optimization]
    for provider in config.providers:
        if accelerator := _ACCELERATORS.get(provider_name(provider)):
            group, name = accelerator
            added = getattr(message.optimization.execution_accelerators, group).add(name=name)
            if isinstance(provider, dict):
                added.parameters.update(
                    {key: str(value) for key, value in provider[provider_name(provider)].items()}
                )
    parameters = {
        "intra_op_thread_count": str(session.intra_op_threads) if session.intra_op_threads else "",
        "inter_op_thread_count": str(session.inter_op_threads) if session.inter_op_threads != 1 else "",
        "execution_mode": "1" if session.execution_mode == "parallel" else "",
        "enable_mem_arena": "" if session.memory_arena else "0",
        "enable_mem_pattern": "" if session.memory_pattern else "0",
        **session.options,
    }
    stated = {name: value for name, value in parameters.items() if value} | config.parameters
    for name, value in stated.items():
        message.parameters[name].string_value = value
    for sample in config.warmup.samples:
        warmup = message.model_warmup.add(batch_size=sample.batch_size, count=sample.count)
        for name, tensor in sample.inputs.items():
            shown: Any = warmup.inputs[name]
            shown.dims.extend(tensor.shape)
            if tensor.datatype is not None:
                shown.data_type = data_type(tensor.datatype)
            if tensor.fill == "random":
                shown.random_data = True
            else:
                shown.zero_data = True


def _complete_versions(message: config_pb.ModelConfig, config: ModelConfig) -> None:
    versions = config.versions
    if versions.only:
        message.version_policy.specific.versions[:] = versions.only
    elif versions.latest is None:
        message.version_policy.all.SetInParent()
    else:
        message.version_policy.latest.num_versions = versions.latest


def _complete_tensors(message: config_pb.ModelConfig, spec: ModelSpec, config: ModelConfig) -> None:
    formats = {tensor.name: tensor.format for tensor in message.input}
    del message.input[:], message.output[:]
    labels = {output.name: output.labels or "" for output in config.outputs}
    for tensor in spec.inputs:
        _fill(
            message.input.add(
                optional=tensor.optional,
                format=formats.get(tensor.name, 0),
                allow_ragged_batch=tensor.ragged,
            ),
            tensor,
            spec.batches,
        )
    for tensor in spec.outputs:
        _fill(message.output.add(label_filename=labels.get(tensor.name, "")), tensor, spec.batches)


def _complete_ragged(message: config_pb.ModelConfig, spec: ModelSpec) -> None:
    if not message.batch_input:
        for made in spec.batch_inputs:
            message.batch_input.add(
                kind=config_pb.BatchInput.Kind.Value(f"BATCH_{made.kind.name}"),
                target_name=[made.name],
                data_type=data_type(made.datatype),
                source_input=[made.source],
            )
    if not message.batch_output:
        for output in spec.outputs:
            if output.scatter is not None:
                message.batch_output.add(target_name=[output.name], source_input=[output.scatter])


def _fill(shown: Any, tensor: TensorSpec, batches: bool) -> None:
    """Dims may not be empty, so a scalar is [1], and where rows are scalars the graph's shape is stated."""
    shown.name, shown.data_type = tensor.name, data_type(tensor.datatype)
    shown.dims.extend(tensor.shape or (1,))
    if batches if not tensor.graph_shape else tensor.reshape is not None:
        shown.reshape.SetInParent()
        shown.reshape.shape.extend(tensor.graph_shape)


def _complete_groups(message: config_pb.ModelConfig, config: ModelConfig, *, on_cpu: bool) -> None:
    groups = message.instance_group
    here = config_pb.ModelInstanceGroup.KIND_CPU if on_cpu else config_pb.ModelInstanceGroup.KIND_GPU
    if not groups:
        groups.add(name=message.name, count=config.instances, kind=here)
    for index, group in enumerate(groups):
        group.name = group.name or f"{message.name}_{index}"
        group.count = max(group.count, 1)
        if group.kind == config_pb.ModelInstanceGroup.KIND_AUTO:
            group.kind = here


def _complete_batching(message: config_pb.ModelConfig, config: ModelConfig, *, batches: bool) -> None:
    batching = config.batching
    stated = message.HasField("dynamic_batching")
    together = batches and batching.dynamic
    # Of rows that must not be put together nothing may be shown that would do so when it is loaded again.
    in_levels = not batches and bool(batching.priority_levels or batching.preserve_ordering)
    if (together or in_levels) and message.WhichOneof("scheduling_choice") is None:
        message.dynamic_batching.SetInParent()
    if not message.HasField("dynamic_batching"):
        return
    shown = message.dynamic_batching
    if batches and not shown.preferred_batch_size:
        shown.preferred_batch_size.extend(batching.preferred_sizes or (message.max_batch_size,))
    shown.max_queue_delay_microseconds = shown.max_queue_delay_microseconds or _us(batching.max_queue_delay)
    if not stated:
        _state_levels(shown, batching)
    default = shown.default_queue_policy
    if not shown.HasField("default_queue_policy"):
        _fill_policy(default, batching.usual())
    default.max_queue_size = batching.max_queue_size


def _state_levels(shown: config_pb.ModelDynamicBatching, batching: BatchingSection) -> None:
    shown.preserve_ordering = batching.preserve_ordering
    shown.priority_levels = batching.priority_levels
    if batching.priority_levels:
        shown.default_priority_level = batching.default_priority or batching.priority_levels
    for level, policy in batching.policy().priorities.items():
        _fill_policy(shown.priority_queue_policy[level], policy)


def _fill_policy(shown: config_pb.ModelQueuePolicy, policy: QueuePolicy) -> None:
    delays = policy.timeout_action == "delay"
    shown.timeout_action = config_pb.ModelQueuePolicy.DELAY if delays else config_pb.ModelQueuePolicy.REJECT
    shown.default_timeout_microseconds = _us(policy.default_timeout)
    shown.allow_timeout_override = policy.allow_timeout_override
    shown.max_queue_size = policy.max_queue_size


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
