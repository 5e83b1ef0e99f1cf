"""Which execution providers a session gets: what was asked for, or a refusal that says what there is.

ONNX Runtime itself falls back to the CPU with no more than a warning, so that a model meant for a GPU can
serve a hundred times slower with nobody told.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from onnxd.errors import LoadFailed

OptionValue = str | int | float | bool
ProviderRequest = str | Mapping[str, Mapping[str, OptionValue]]
"""A provider by name, or one name with its options, such as {"CUDAExecutionProvider": {"device_id": 1}}."""

Fallback = Literal["error", "next"]
"""What happens when a provider cannot be had: the load fails, or the next one of the list is tried."""

CPU: Final = "CPUExecutionProvider"

_UNUSABLE: Final = frozenset({"AzureExecutionProvider"})
"""In every wheel's list, but it sends tensors to a URL that the model names."""

_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    CPU: frozenset(),
    "CUDAExecutionProvider": frozenset(
        {
            "arena_extend_strategy",
            "cudnn_conv1d_pad_to_nc1d",
            "cudnn_conv_algo_search",
            "cudnn_conv_use_max_workspace",
            "device_id",
            "do_copy_in_default_stream",
            "enable_cuda_graph",
            "enable_skip_layer_norm_strict_mode",
            "fuse_conv_bias",
            "gpu_mem_limit",
            "prefer_nhwc",
            "sdpa_kernel",
            "use_ep_level_unified_stream",
            "use_tf32",
        }
    ),
}
_SOME_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "TensorrtExecutionProvider": frozenset(
        {
            "device_id",
            "trt_auxiliary_streams",
            "trt_bf16_enable",
            "trt_build_heuristics_enable",
            "trt_builder_optimization_level",
            "trt_context_memory_sharing_enable",
            "trt_cuda_graph_enable",
            "trt_dla_core",
            "trt_dla_enable",
            "trt_force_sequential_engine_build",
            "trt_fp16_enable",
            "trt_int8_enable",
            "trt_layer_norm_fp32_fallback",
            "trt_max_partition_iterations",
            "trt_max_workspace_size",
            "trt_min_subgraph_size",
            "trt_op_types_to_exclude",
            "trt_profile_max_shapes",
            "trt_profile_min_shapes",
            "trt_profile_opt_shapes",
            "trt_sparsity_enable",
        }
    ),
    "OpenVINOExecutionProvider": frozenset(
        {
            "device_type",
            "disable_dynamic_shapes",
            "enable_opencl_throttling",
            "enable_qdq_optimizer",
            "layout",
            "model_priority",
            "num_of_threads",
            "num_streams",
            "precision",
            "reshape_input",
        }
    ),
    "CoreMLExecutionProvider": frozenset(
        {
            "AllowLowPrecisionAccumulationOnGPU",
            "EnableOnSubgraphs",
            "MLComputeUnits",
            "ModelFormat",
            "RequireStaticInputShapes",
            "SpecializationStrategy",
        }
    ),
    "DmlExecutionProvider": frozenset(
        {
            "device_filter",
            "device_id",
            "disable_metacommands",
            "enable_graph_capture",
            "performance_preference",
        }
    ),
    "XnnpackExecutionProvider": frozenset({"intra_op_num_threads"}),
}
"""Enough of them to recognise a misspelt one. Others go through: the provider itself refuses what it does not
know, and its list grows with each of its releases."""
_DANGEROUS_PARTS: Final = ("path", "file", "dir", "stream", "alloc", "free", "library", "plugin")
"""Of providers whose options are not listed here: what writes files, loads code, or takes an address."""


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """A provider and its options, in ONNX Runtime's own spelling."""

    name: str
    options: Mapping[str, str]


def resolve(
    requested: Sequence[ProviderRequest],
    require: str | None,
    available: Sequence[str],
    *,
    fallback: Fallback = "error",
) -> list[ProviderChoice]:
    """The providers to give to ONNX Runtime, in order of preference.

    Raises LoadFailed, naming what is available, for a provider that this build does not have, an option that
    it does not take, and a required one that is not among the requested. With the fallback "next" providers
    that it does not have are left out, as long as there is another.
    """
    usable = [name for name in available if name not in _UNUSABLE]
    if fallback == "next":
        there = [request for request in requested if _named(request)[0] in usable]
        requested = there or requested
    choices = [_choice(request, usable) for request in requested]
    if not choices:
        raise LoadFailed(f"providers is empty: name at least one of {', '.join(usable)}")
    names = [choice.name for choice in choices]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise LoadFailed(f"provider '{repeated}' is listed twice")
    if require is not None and require not in names:
        _check_available(require, usable)
        raise LoadFailed(f"require_provider is '{require}', which is not in providers: {', '.join(names)}")
    return choices


def options_of(name: str) -> frozenset[str] | None:
    """The options that a config may set of a provider, or the usual ones; None where that is not known."""
    return _OPTIONS.get(name) or _SOME_OPTIONS.get(name)


def not_started(choices: Sequence[ProviderChoice], active: Sequence[str]) -> list[str]:
    """What the session that was built does not run on although it was chosen, or not in that order."""
    wanted = [choice.name for choice in choices]
    if list(active[: len(wanted)]) == wanted:
        return []
    return [name for name in wanted if name not in active] or wanted


def check_active(choices: Sequence[ProviderChoice], active: Sequence[str]) -> None:
    """Raises LoadFailed when the session that was built does not run on all that was chosen, in order."""
    if missing := not_started(choices, active):
        raise LoadFailed(
            f"ONNX Runtime did not start {', '.join(missing)}; the session would have run on "
            f"{', '.join(active)}"
        )


def _named(request: ProviderRequest) -> tuple[str, Mapping[str, OptionValue]]:
    named: Mapping[str, Mapping[str, OptionValue]] = {request: {}} if isinstance(request, str) else request
    if len(named) != 1:
        raise LoadFailed(
            f"an entry of providers is a name or one name with its options, got {len(named)} names"
        )
    return next(iter(named.items()))


def _choice(request: ProviderRequest, usable: Sequence[str]) -> ProviderChoice:
    name, options = _named(request)
    _check_available(name, usable)
    for option in options:
        _check_option(name, option)
    return ProviderChoice(name, {option: _spelled(value) for option, value in options.items()})


def _check_available(name: str, usable: Sequence[str]) -> None:
    if name not in usable:
        raise LoadFailed(
            f"provider '{name}' is not available here; available: {', '.join(usable)}"
            f"{suggestion(name, usable)}"
        )


def _check_option(provider: str, option: str) -> None:
    known = _OPTIONS.get(provider)
    if known is None:
        if any(part in option.lower() for part in _DANGEROUS_PARTS):
            raise LoadFailed(
                f"option '{option}' of provider '{provider}' cannot be set from a model's config"
            )
        some = sorted(_SOME_OPTIONS.get(provider, ()))
        if option not in some and (meant := suggestion(option, some)):
            raise LoadFailed(f"provider '{provider}' has no option '{option}'{meant}")
    elif option not in known:
        listed = f"known: {', '.join(sorted(known))}" if known else "it takes none"
        raise LoadFailed(
            f"provider '{provider}' has no option '{option}' that a config may set; {listed}"
            f"{suggestion(option, sorted(known))}"
        )


def _spelled(value: OptionValue) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def suggestion(word: str, known: Sequence[str]) -> str:
    """ " (did you mean 'x'?)" for the nearest known word, or nothing."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f" (did you mean '{lowered[near[0]]}'?)" if near else ""
