"""Where instances run: the same config on a machine with GPUs and on one without."""

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate

CPU = "CPUExecutionProvider"


def loaded(text: str, gpus: int) -> LoadedConfig:
    return translate(parse_text(text.encode(), "config.pbtxt"), "m", gpus=gpus)


def cuda(**options: str | int) -> dict[str, dict[str, str | int]]:
    return {"CUDAExecutionProvider": options}


def accelerator(where: str, text: str) -> str:
    return f"optimization {{ execution_accelerators {{ {where}_execution_accelerator {{ {text} }} }} }}"


@pytest.mark.parametrize(
    ("text", "gpus", "providers"),
    [
        ("", 0, (CPU,)),
        ("", 1, (cuda(device_id=0), CPU)),
        ("instance_group { kind: KIND_AUTO }", 1, (cuda(device_id=0), CPU)),
        ("instance_group { kind: KIND_AUTO gpus: [1] }", 1, (CPU,)),
        ("instance_group { kind: KIND_AUTO gpus: [1] }", 2, (cuda(device_id=1), CPU)),
        ("instance_group { kind: KIND_CPU }", 2, (CPU,)),
        ("instance_group { kind: KIND_MODEL }", 2, (CPU,)),
        ("instance_group { kind: KIND_GPU }", 0, (cuda(device_id=0), CPU)),
        ("instance_group { kind: KIND_GPU gpus: [1] }", 2, (cuda(device_id=1), CPU)),
        (
            'parameters { key: "cudnn_conv_algo_search" value { string_value: "1" } }'
            'parameters { key: "gpu_mem_limit" value { string_value: "5" } }'
            'parameters { key: "arena_extend_strategy" value { string_value: "1" } }'
            'parameters { key: "do_copy_in_default_stream" value { string_value: "0" } }',
            1,
            (
                cuda(
                    device_id=0,
                    arena_extend_strategy="kSameAsRequested",
                    cudnn_conv_algo_search="HEURISTIC",
                    do_copy_in_default_stream="0",
                    gpu_mem_limit="5",
                ),
                CPU,
            ),
        ),
        (
            accelerator("gpu", 'name: "cuda" parameters { key: "use_tf32" value: "0" }'),
            1,
            (cuda(device_id=0, use_tf32="0"), CPU),
        ),
        (
            accelerator(
                "gpu",
                'name: "tensorrt" parameters { key: "precision_mode" value: "FP16" }'
                'parameters { key: "max_workspace_size_bytes" value: "9" }'
                'parameters { key: "trt_sparsity_enable" value: "1" }',
            ),
            1,
            (
                {
                    "TensorrtExecutionProvider": {
                        "device_id": 0,
                        "trt_max_workspace_size": "9",
                        "trt_fp16_enable": "1",
                        "trt_sparsity_enable": "1",
                    }
                },
                cuda(device_id=0),
                CPU,
            ),
        ),
        (
            accelerator("cpu", 'name: "openvino" parameters { key: "device_type" value: "CPU" }'),
            0,
            ({"OpenVINOExecutionProvider": {"device_type": "CPU"}}, CPU),
        ),
    ],
)
def test_providers(text: str, gpus: int, providers: tuple[object, ...]) -> None:
    result = loaded(text, gpus)
    assert result.config.providers == providers
    assert result.warnings == ()


@pytest.mark.parametrize(
    ("text", "gpus", "warning"),
    [
        ("", 2, "instance_group: has an effect in part: a model runs on one GPU, which is 0"),
        ("instance_group { kind: KIND_GPU gpus: [3, 1] }", 4, "runs on one GPU, which is 1"),
        (
            "instance_group [ { kind: KIND_GPU }, { kind: KIND_CPU } ]",
            1,
            "instance_group[1]: has no effect: all instances of the model are on the GPU",
        ),
        (accelerator("cpu", 'name: "openvino"'), 1, "has no effect: the model runs on the GPU"),
        (
            accelerator("gpu", 'name: "tensorrt" parameters { key: "trt_engine_cache_path" value: "/x" }'),
            1,
            "parameters.trt_engine_cache_path: has no effect: a model's config cannot have files written",
        ),
    ],
)
def test_what_one_gpu_cannot_do_is_named(text: str, gpus: int, warning: str) -> None:
    assert any(warning in line for line in loaded(text, gpus).warnings)


def test_instances_on_the_gpu_are_those_that_count() -> None:
    text = "instance_group [ { kind: KIND_GPU count: 3 }, { kind: KIND_CPU count: 5 } ]"
    assert loaded(text, 1).config.instances == 3


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            accelerator("gpu", 'name: "tensorrt" parameters { key: "precision_mode" value: "FP7" }'),
            "expected FP32, FP16",
        ),
        (
            accelerator("gpu", 'name: "migraphx"'),
            "unknown execution accelerator 'migraphx'; expected tensorrt or cuda",
        ),
        (
            accelerator("cpu", 'name: "tensorrt"'),
            "unknown execution accelerator 'tensorrt'; expected openvino",
        ),
    ],
)
def test_accelerators_that_nobody_knows(text: str, fault: str) -> None:
    with pytest.raises(LoadFailed) as caught:
        loaded(text, 1)
    assert fault in caught.value.message
