"""The fields about instances, devices and what Triton calls optimization."""

from typing import Final

from tests.contract.pbtxt.case import (
    Case,
    Refuses,
    Takes,
    Warns,
    accelerator,
    group,
)

CASES: Final = (
    Case(
        "instance_group.name",
        group('name: "mine" kind: KIND_CPU'),
        Takes(lambda seen: seen.shown["instance_group"][0]["name"], "mine"),
    ),
    Case(
        "instance_group.count",
        group("count: 2 kind: KIND_CPU"),
        Takes(lambda seen: (seen.config.instances, seen.shown["instance_group"][0]["count"]), (2, 2)),
    ),
    Case(
        "instance_group.count",
        "instance_group [ { count: 2 kind: KIND_CPU }, { kind: KIND_CPU } ]",
        Takes(lambda seen: seen.config.instances, 3),
        "over groups",
    ),
    Case(
        "instance_group.count",
        group("count: 65"),
        Refuses("instance_group[0].count: expected an integer from 1 to 64, got 65"),
        "huge",
    ),
    Case(
        "instance_group.count",
        group("count: -1"),
        Refuses("instance_group[0].count: expected at least 1, got -1"),
        "below zero",
    ),
    Case(
        "instance_group.kind",
        group("kind: KIND_AUTO"),
        Takes(
            lambda seen: (seen.config.providers, seen.shown["instance_group"][0]["kind"]),
            (("CPUExecutionProvider",), "KIND_CPU"),
        ),
    ),
    Case(
        "instance_group.kind",
        group("kind: KIND_GPU"),
        Refuses("provider 'CUDAExecutionProvider' is not available here"),
        "of a GPU that is not there",
    ),
    Case(
        "instance_group.kind",
        group("kind: 7"),
        Refuses("instance_group[0].kind: 7 is no value that it may have"),
        "unknown",
    ),
    Case(
        "instance_group.gpus",
        group("gpus: [0]"),
        Takes(lambda seen: seen.config.providers, ("CPUExecutionProvider",)),
        "that are not there",
    ),
    Case(
        "instance_group.gpus",
        group("kind: KIND_CPU gpus: [0]"),
        Refuses("instance_group[0].gpus: the group is KIND_CPU and lists GPUs"),
        "of a CPU",
    ),
    Case(
        "instance_group.profile", group('profile: ["1"]'), Warns("instance_group[0].profile: has no effect")
    ),
    Case(
        "instance_group.rate_limiter",
        group("rate_limiter { priority: 2 }"),
        Warns("instance_group[0].rate_limiter: has no effect"),
    ),
    Case(
        "instance_group.passive",
        "instance_group [ { count: 1 }, { count: 2 passive: true } ]",
        Warns("instance_group[1].passive: has no effect: passive instances are not created"),
    ),
    Case(
        "instance_group.passive",
        group("passive: true"),
        Refuses("instance_group[0].passive: not supported: a model whose instances are all passive"),
        "all",
    ),
    Case(
        "instance_group.secondary_devices",
        group("secondary_devices { device_id: 1 }"),
        Warns("instance_group[0].secondary_devices: has no effect"),
    ),
    Case(
        "instance_group.host_policy",
        group('host_policy: "numa"'),
        Warns("instance_group[0].host_policy: has no effect"),
    ),
    Case(
        "optimization.graph.level",
        "optimization { graph { level: 1 } }",
        Takes(
            lambda seen: (seen.config.session.graph_optimization, seen.shown["optimization"]["graph"]),
            ("extended", {"level": 1}),
        ),
    ),
    Case(
        "optimization.graph.level",
        "optimization { graph { level: -1 } }",
        Takes(lambda seen: seen.config.session.graph_optimization, "basic"),
        "-1",
    ),
    Case(
        "optimization.graph.level",
        "optimization { graph { level: 2 } }",
        Takes(lambda seen: seen.config.session.graph_optimization, "disable"),
        "2",
    ),
    Case(
        "optimization.graph.level",
        "optimization { graph { level: 0 } }",
        Takes(lambda seen: seen.config.session.graph_optimization, "all"),
        "0",
    ),
    Case(
        "optimization.graph.level",
        "optimization { graph { level: 9 } }",
        Warns("optimization.graph.level: has no effect: expected -1, 0, 1 or 2, got 9"),
        "9",
    ),
    Case(
        "optimization.priority",
        "optimization { priority: PRIORITY_MAX }",
        Warns("optimization.priority: has no effect"),
    ),
    Case(
        "optimization.cuda",
        "optimization { cuda { graphs: true } }",
        Warns("optimization.cuda: has no effect"),
    ),
    Case(
        "optimization.execution_accelerators.gpu_execution_accelerator.name",
        accelerator("gpu", 'name: "tensorrt"'),
        Warns("gpu_execution_accelerator: has no effect: the model runs on the CPU"),
    ),
    Case(
        "optimization.execution_accelerators.gpu_execution_accelerator.name",
        accelerator("gpu", 'name: "mine"'),
        Refuses("unknown execution accelerator 'mine'; expected tensorrt or cuda"),
        "unknown",
    ),
    Case(
        "optimization.execution_accelerators.gpu_execution_accelerator.parameters",
        accelerator("gpu", 'name: "tensorrt" parameters { key: "x" value: "1" }'),
        Refuses(
            "gpu_execution_accelerator[0].parameters.x: unknown parameter 'x' of the accelerator tensorrt"
        ),
    ),
    Case(
        "optimization.execution_accelerators.cpu_execution_accelerator.name",
        accelerator("cpu", 'name: "openvino"'),
        Refuses("provider 'OpenVINOExecutionProvider' is not available here"),
    ),
    Case(
        "optimization.execution_accelerators.cpu_execution_accelerator.parameters",
        accelerator("cpu", 'name: "openvino" parameters { key: "device_type" value: "CPU" }'),
        Refuses("provider 'OpenVINOExecutionProvider' is not available here"),
    ),
    Case(
        "optimization.input_pinned_memory.enable",
        "optimization { input_pinned_memory { enable: true } }",
        Takes(lambda seen: seen.shown["optimization"]["input_pinned_memory"], {"enable": True}),
    ),
    Case(
        "optimization.input_pinned_memory.enable",
        "optimization { input_pinned_memory { enable: false } }",
        Warns("optimization.input_pinned_memory.enable: has no effect"),
        "false",
    ),
    Case(
        "optimization.output_pinned_memory.enable",
        "optimization { output_pinned_memory { enable: false } }",
        Warns("optimization.output_pinned_memory.enable: has no effect"),
        "false",
    ),
    Case(
        "optimization.gather_kernel_buffer_threshold",
        "optimization { gather_kernel_buffer_threshold: 4 }",
        Warns("optimization.gather_kernel_buffer_threshold: has no effect"),
    ),
    Case(
        "optimization.eager_batching",
        "optimization { eager_batching: true }",
        Warns("optimization.eager_batching: has no effect"),
    ),
)
