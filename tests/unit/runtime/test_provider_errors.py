"""Why a provider did not start, from what ONNX Runtime prints."""

import pytest

from onnxd.runtime.provider_errors import cause_in


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        pytest.param(
            "2026-01-01 10:00:00.1 [E:onnxruntime:Default, provider_bridge_ort.cc:2195 TryGetProviderInfo] "
            "/src/provider_bridge_ort.cc:1778 Get() [ONNXRuntimeError] : 1 : FAIL : "
            "Failed to load library /x/libonnxruntime_providers_cuda.so with error: libcublasLt.so.12: "
            "cannot open shared object file: No such file or directory\n",
            "the library libcublasLt.so.12 is missing, which libonnxruntime_providers_cuda.so needs",
            id="a missing library",
        ),
        pytest.param(
            "Failed to load library libonnxruntime_providers_cuda.so with error: "
            "/opt/cuda/libcudnn.so.9: undefined symbol: x\n",
            "libonnxruntime_providers_cuda.so cannot be loaded: libcudnn.so.9: undefined symbol: x",
            id="a library of another version",
        ),
        pytest.param(
            'LoadLibrary failed with error 126 "The specified module could not be found." when trying '
            'to load "C:\\x\\onnxruntime_providers_cuda.dll"',
            "onnxruntime_providers_cuda.dll, or a library that it needs, is missing",
            id="Windows",
        ),
        pytest.param(
            "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; GPU=-1",
            "the device cannot be used: CUDA driver version is insufficient for CUDA runtime version",
            id="an old driver",
        ),
        pytest.param(
            "[W:onnxruntime:Default, x.cc:1] Failed to create CUDAExecutionProvider. Require cuDNN 9.* and "
            "CUDA 12.*. Please install all dependencies",
            "CUDAExecutionProvider: Require cuDNN 9.* and CUDA 12.*",
            id="only what it requires",
        ),
        pytest.param("something else\n", "", id="nothing about providers"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_the_cause_is_named_without_paths(printed: str, cause: str) -> None:
    assert cause_in(printed) == cause


def test_a_missing_library_is_said_before_what_follows_from_it() -> None:
    printed = (
        "Failed to create CUDAExecutionProvider. Require cuDNN 9.* and CUDA 12.*. Please\n"
        "Failed to load library a.so with error: libcudnn.so.9: cannot open shared object file: No such\n"
    )
    assert cause_in(printed) == "the library libcudnn.so.9 is missing, which a.so needs"
