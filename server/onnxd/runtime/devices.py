"""What this machine and this build of ONNX Runtime can run on."""

import ctypes
import platform
from functools import cache
from pathlib import Path
from typing import Final

from onnxd.runtime.ort import onnxruntime

_CUDA: Final = "CUDAExecutionProvider"
_CPUINFO: Final = Path("/proc/cpuinfo")
_KIND: Final = ("vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part")


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


@cache
def cpu_kind(cpuinfo: Path = _CPUINFO) -> str:
    """The make of the first CPU and what it can do, by which ONNX Runtime chooses its kernels."""
    try:
        first = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0]
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}"
    lines = (line.partition(":") for line in first.splitlines())
    return "; ".join(
        [platform.machine(), *(value.strip() for name, _, value in lines if name.strip() in _KIND)]
    )
