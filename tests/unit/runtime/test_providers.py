"""Which providers a session gets, or why it gets none."""

import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.providers import CPU, ProviderChoice, ProviderRequest, check_active, resolve

CUDA = "CUDAExecutionProvider"
BOTH = [CUDA, CPU]


def test_the_order_of_the_config_is_kept() -> None:
    assert resolve([CUDA, CPU], None, [CPU, CUDA]) == [ProviderChoice(CUDA, {}), ProviderChoice(CPU, {})]


def test_options_are_spelled_for_onnx_runtime() -> None:
    requested: list[ProviderRequest] = [
        {CUDA: {"device_id": 1, "use_tf32": False, "cudnn_conv_algo_search": "HEURISTIC"}}
    ]
    assert resolve(requested, None, BOTH) == [
        ProviderChoice(CUDA, {"device_id": "1", "use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})
    ]


@pytest.mark.parametrize(
    ("requested", "require", "parts"),
    [
        pytest.param(
            [CUDA], None, ["'CUDAExecutionProvider' is not available", f"available: {CPU}"], id="absent"
        ),
        pytest.param(["CpuExecutionProvider"], None, [f"did you mean '{CPU}'?"], id="misspelt"),
        pytest.param(["AzureExecutionProvider"], None, ["not available"], id="one that calls home"),
        pytest.param([], None, ["providers is empty"], id="none at all"),
        pytest.param([CPU, CPU], None, ["listed twice"], id="twice"),
        pytest.param([{CPU: {}, CUDA: {}}], None, ["got 2 names"], id="two names in one entry"),
        pytest.param(
            [{CPU: {"device_id": 1}}], None, ["no option 'device_id'", "takes none"], id="CPU option"
        ),
        pytest.param([CPU], CUDA, [f"'{CUDA}' is not available"], id="a required one that is absent"),
    ],
)
def test_a_wrong_choice_is_refused_by_name(
    requested: list[ProviderRequest], require: str | None, parts: list[str]
) -> None:
    with pytest.raises(LoadFailed) as raised:
        resolve(requested, require, ["AzureExecutionProvider", CPU])
    for part in parts:
        assert part in raised.value.message


def test_a_misspelt_option_is_refused_with_a_suggestion() -> None:
    with pytest.raises(LoadFailed, match=r"no option 'gpu_memory_limit'.*did you mean 'gpu_mem_limit'"):
        resolve([{CUDA: {"gpu_memory_limit": 1}}], None, BOTH)


def test_an_option_that_writes_files_is_refused_for_a_provider_without_a_list() -> None:
    tensorrt = "TensorrtExecutionProvider"
    resolve([{tensorrt: {"trt_fp16_enable": True}}], None, [tensorrt, CPU])
    with pytest.raises(LoadFailed, match="trt_engine_cache_path"):
        resolve([{tensorrt: {"trt_engine_cache_path": "x"}}], None, [tensorrt, CPU])


def test_a_required_provider_must_be_among_the_requested() -> None:
    with pytest.raises(LoadFailed, match=f"require_provider is '{CUDA}'"):
        resolve([CPU], CUDA, BOTH)


def test_a_session_that_fell_back_is_refused() -> None:
    chosen = resolve([CUDA], None, BOTH)
    check_active(chosen, [CUDA, CPU])
    with pytest.raises(LoadFailed, match=f"did not start {CUDA}"):
        check_active(chosen, [CPU])


@pytest.mark.parametrize(
    ("provider", "option", "meant"),
    [
        ("TensorrtExecutionProvider", "trt_fp16_enabled", "trt_fp16_enable"),
        ("OpenVINOExecutionProvider", "device_typ", "device_type"),
        ("CoreMLExecutionProvider", "MLComputeUnit", "MLComputeUnits"),
        ("DmlExecutionProvider", "deviceid", "device_id"),
    ],
)
def test_of_other_providers_a_misspelt_option_is_recognised(provider: str, option: str, meant: str) -> None:
    with pytest.raises(LoadFailed, match=f"no option '{option}'.*did you mean '{meant}'"):
        resolve([{provider: {option: 1}}], None, [provider, CPU])
    resolve([{provider: {meant: 1}}], None, [provider, CPU])


def test_an_option_that_nobody_has_heard_of_is_left_to_the_provider() -> None:
    openvino, future = "OpenVINOExecutionProvider", "FutureExecutionProvider"
    resolve([{openvino: {"brand_new": 1}}, {future: {"x": 1}}], None, [openvino, future])


def test_with_the_fallback_what_is_not_there_is_left_out() -> None:
    assert resolve([CUDA, CPU], None, [CPU], fallback="next") == [ProviderChoice(CPU, {})]
    with pytest.raises(LoadFailed, match="is not available here"):
        resolve([CUDA], None, [CPU], fallback="next")
