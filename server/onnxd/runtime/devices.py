"""What this machine and this build of ONNX Runtime can run on."""

import ctypes
from functools import cache
from typing import Final

from onnxd.runtime.ort import onnxruntime

_CUDA: Final = "CUDAExecutionProvider"


@cache
def cuda_devices() -> int:
    """GPUs that ONNX Runtime could use: those that CUDA's driver counts, if this build of it knows CUDA.

    The build alone says nothing: its list of providers is the same on a machine without a GPU.
    """
    if _CUDA not in onnxruntime.get_available_providers():
        return 0
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value


def available_providers() -> tuple[str, ...]:
    """The execution providers that this build has."""
    return tuple(onnxruntime.get_available_providers())


def known_providers() -> tuple[str, ...]:
    """Those that ONNX Runtime has a name for, in this build or another."""
    return tuple(onnxruntime.get_all_providers())
