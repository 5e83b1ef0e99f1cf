"""Execution accelerators of Triton's ONNX Runtime backend -> execution providers and their options."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from onnxd.repository.document import Loc, shown
from onnxd.repository.pbtxt.sheet import Sheet

_PROVIDERS: Final = {
    "gpu_execution_accelerator": {
        "tensorrt": "TensorrtExecutionProvider",
        "cuda": "CUDAExecutionProvider",
    },
    "cpu_execution_accelerator": {"openvino": "OpenVINOExecutionProvider"},
}
_TENSORRT_NAMES: Final = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}
_PRECISION: Final = {
    "FP32": None,
    "FP16": "trt_fp16_enable",
    "BF16": "trt_bf16_enable",
    "INT8": "trt_int8_enable",
}
_CACHES: Final = frozenset(
    {
        "trt_dump_ep_context_model",
        "trt_dump_subgraphs",
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
        "trt_engine_cache_prefix",
        "trt_ep_context_embed_mode",
        "trt_ep_context_file_path",
        "trt_force_timing_cache",
        "trt_timing_cache_enable",
        "trt_timing_cache_path",
    }
)
"""These write files at a path of the config's choosing, and make a later load faster."""


def accelerators(sheet: Sheet, listed: Sequence[Any], at: Loc) -> Iterator[tuple[str, dict[str, str | int]]]:
    """Each as a provider with its options, in their order. What a provider knows is for it to say."""
    providers = _PROVIDERS[str(at[-1])]
    for index, accelerator in enumerate(listed):
        here = (*at, index)
        provider = providers.get(accelerator.name)
        if provider is None:
            known = " or ".join(providers)
            text = f"unknown execution accelerator '{shown(accelerator.name)}'; expected {known}"
            sheet.fault((*here, "name"), text)
            continue
        parameters = sorted(accelerator.parameters.items())
        if accelerator.name == "tensorrt":
            yield provider, dict(_tensorrt(sheet, parameters, (*here, "parameters")))
        else:
            yield provider, dict(parameters)


def _tensorrt(sheet: Sheet, parameters: list[tuple[str, str]], at: Loc) -> Iterator[tuple[str, str]]:
    for key, value in parameters:
        if key == "precision_mode":
            if value not in _PRECISION:
                text = f"expected {', '.join(_PRECISION)}, got '{shown(value)}'"
                sheet.fault((*at, key), text)
            elif option := _PRECISION[value]:
                yield option, "1"
        elif key in _CACHES:
            sheet.warn((*at, key), "has no effect: a model's config cannot have files written")
        elif key.startswith("trt_") or key in _TENSORRT_NAMES:
            yield _TENSORRT_NAMES.get(key, key), value
        else:
            sheet.fault((*at, key), f"unknown parameter '{shown(key)}' of the accelerator tensorrt")
