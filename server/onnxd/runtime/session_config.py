"""How a model's session is built, as the model's config writes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from onnxd.errors import LoadFailed
from onnxd.runtime.providers import CPU, Fallback, suggestion

OPTIONS: Final = frozenset(
    {
        "mlas.disable_kleidiai",
        "mlas.enable_gemm_fastmath_arm64_bfloat16",
        "mlas.qnbit.force_fp32",
        "mlas.use_lut_gemm",
        "optimization.constant_folding_max_output_size_in_bytes",
        "optimization.disable_specified_optimizers",
        "optimization.enable_cast_chain_elimination",
        "optimization.enable_gelu_approximation",
        "session.allow_released_opsets_only",
        "session.disable_aot_function_inlining",
        "session.disable_cpu_ep_fallback",
        "session.disable_double_qdq_remover",
        "session.disable_prepacking",
        "session.disable_qdq_constant_folding",
        "session.disable_quant_qdq",
        "session.dynamic_block_base",
        "session.enable_dq_matmulnbits_fusion",
        "session.enable_quant_qdq_cleanup",
        "session.force_spinning_stop",
        "session.graph_optimizations_loop_level",
        "session.inter_op.allow_spinning",
        "session.inter_op.spin_backoff_max",
        "session.inter_op.spin_duration_us",
        "session.intra_op.allow_spinning",
        "session.intra_op.spin_backoff_max",
        "session.intra_op.spin_duration_us",
        "session.intra_op_thread_affinities",
        "session.qdq_matmulnbits_accuracy_level",
        "session.qdq_matmulnbits_block_size",
        "session.qdqisint8allowed",
        "session.set_denormal_as_zero",
        "session.strict_shape_type_inference",
        "session.use_deterministic_compute",
        "session.use_device_allocator_for_initializers",
        "session.x64quantprecision",
    }
)
"""The session config entries that a model's config may set.

A list, because ONNX Runtime takes any key without a word, and because some of the others write files or read
them from elsewhere: a model's config must not reach those.
"""


@dataclass(frozen=True)
class SessionConfig:
    """One model's session, as its config writes it."""

    providers: tuple[str | dict[str, dict[str, str | int | float | bool]], ...] = (CPU,)
    """In order of preference: names, or one name with its options."""
    require_provider: str | None = None
    """The load fails unless this provider is active."""
    provider_fallback: Fallback = "error"
    """What happens when one of them cannot be had: the load fails, or goes on with those after it."""
    intra_op_threads: int = 0
    """Threads inside one operator; 0 = the server's budget of CPUs."""
    inter_op_threads: int = 1
    """Threads over operators; only used when execution_mode is parallel."""
    execution_mode: Literal["sequential", "parallel"] = "sequential"
    graph_optimization: Literal["disable", "basic", "extended", "all"] = "all"
    memory_arena: bool = True
    """Memory that a run frees is kept for the next run."""
    memory_pattern: bool = True
    """Memory is laid out by what the last run of the same shapes needed."""
    options: dict[str, str] = field(default_factory=dict)
    """Session config entries of ONNX Runtime; the known keys are `OPTIONS`."""


def check_options(options: Mapping[str, str]) -> None:
    """Raises LoadFailed for the first key that is not one of OPTIONS, with the nearest that is."""
    for key in options:
        if key not in OPTIONS:
            raise LoadFailed(f"unknown session option '{key}'{suggestion(key, sorted(OPTIONS))}")
