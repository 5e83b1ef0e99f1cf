"""The fields about a model as a whole."""

from typing import Final

from onnxd.repository.version_policy import VersionPolicy
from tests.contract.pbtxt.case import (
    FULL,
    Case,
    Refuses,
    Takes,
    Warns,
    X,
    Y,
)
from tests.support import graphs

CASES: Final = (
    Case("name", 'name: "{model}"', Takes(lambda seen: seen.shown["name"] == seen.spec.name, True)),
    Case(
        "name", 'name: "another"', Refuses("config.pbtxt:1:7: name: expected the directory's name"), "differs"
    ),
    Case(
        "platform",
        'platform: "onnxruntime_onnx"',
        Takes(lambda seen: seen.shown["platform"], "onnxruntime_onnx"),
    ),
    Case(
        "platform",
        'platform: "tensorrt_plan"',
        Refuses("platform: expected 'onnxruntime_onnx', got"),
        "other",
    ),
    Case("backend", 'backend: "onnxruntime"', Takes(lambda seen: seen.shown["backend"], "onnxruntime")),
    Case("backend", 'backend: "python"', Refuses("backend: expected 'onnxruntime', got 'python'"), "other"),
    Case(
        "runtime",
        'runtime: "libtriton_onnxruntime.so"',
        Takes(lambda seen: seen.shown["runtime"], "libtriton_onnxruntime.so"),
    ),
    Case("runtime", 'runtime: "libmine.so"', Refuses("runtime: expected"), "other"),
    Case(
        "default_model_filename",
        'default_model_filename: "other.onnx"',
        Takes(lambda seen: seen.config.file, "other.onnx"),
        files={"1/other.onnx": graphs.identity()},
    ),
    Case(
        "default_model_filename",
        'default_model_filename: "../x.onnx"',
        Refuses("default_model_filename: expected a plain file name"),
        "elsewhere",
    ),
    Case(
        "version_policy.latest.num_versions",
        "version_policy: { latest: { num_versions: 2 } }",
        Takes(
            lambda seen: (seen.config.versions, seen.shown["version_policy"]),
            (VersionPolicy(2), {"latest": {"num_versions": 2}}),
        ),
    ),
    Case(
        "version_policy.latest.num_versions",
        "version_policy { latest { } }",
        Refuses("version_policy: expected the count"),
        "of none",
    ),
    Case(
        "version_policy.all",
        "version_policy { all { } }",
        Takes(
            lambda seen: (seen.config.versions, seen.shown["version_policy"]),
            (VersionPolicy(None), {"all": {}}),
        ),
    ),
    Case(
        "version_policy.specific.versions",
        "version_policy { specific { versions: [1, 7] } }",
        Takes(
            lambda seen: (seen.config.versions, seen.shown["version_policy"]),
            (VersionPolicy(None, (1, 7)), {"specific": {"versions": [1, 7]}}),
        ),
    ),
    Case(
        "version_policy.specific.versions",
        "version_policy { specific { versions: 2 } }",
        Refuses("is chosen by 'version_policy' in its config.pbtxt"),
        "that is not there",
    ),
    Case(
        "max_batch_size",
        "max_batch_size: 8",
        Takes(
            lambda seen: (seen.spec.max_batch_size, seen.shown["dynamic_batching"]["preferred_batch_size"]),
            (8, [8]),
        ),
    ),
    Case(
        "max_batch_size",
        f"max_batch_size: 8 {X} {Y}",
        Takes(
            lambda seen: (
                seen.spec.max_batch_size,
                seen.config.batching.dynamic,
                "dynamic_batching" in seen.shown,
            ),
            (8, False, False),
        ),
        "without dynamic_batching",
    ),
    Case(
        "max_batch_size",
        FULL,
        Takes(lambda seen: (seen.spec.max_batch_size, seen.spec.inputs[0].shape), (0, (-1, 4))),
        "of none",
    ),
    Case(
        "max_batch_size",
        "max_batch_size: 8",
        Refuses("max_batch_size: input 'x' has its first dimension fixed to 2"),
        "of a graph that cannot",
        graph=graphs.identity(dims=(2, 4)),
    ),
    Case(
        "cc_model_filenames",
        'cc_model_filenames { key: "7.5" value: "x.onnx" }',
        Warns("cc_model_filenames: has no effect"),
    ),
    Case("metric_tags", 'metric_tags { key: "team" value: "a" }', Warns("metric_tags: has no effect")),
    Case(
        "model_operations.op_library_filename",
        'model_operations { op_library_filename: "libx.so" }',
        Refuses("model_operations.op_library_filename: not supported: libraries of custom operators"),
    ),
    Case(
        "model_transaction_policy.decoupled",
        "model_transaction_policy { decoupled: true }",
        Refuses("model_transaction_policy.decoupled: not supported: a request has one answer"),
    ),
    Case(
        "model_transaction_policy.decoupled",
        "model_transaction_policy { decoupled: false }",
        Takes(lambda seen: seen.shown["model_transaction_policy"], {"decoupled": False}),
        "false",
    ),
    Case(
        "model_repository_agents.agents",
        'model_repository_agents { agents { name: "checksum" } }',
        Refuses("model_repository_agents.agents: not supported"),
    ),
    Case(
        "response_cache.enable",
        "response_cache { enable: true }",
        Warns("response_cache.enable: has no effect: answers are not cached"),
    ),
    Case(
        "response_cache.enable",
        "response_cache { enable: false }",
        Takes(lambda seen: seen.shown["response_cache"], {"enable": False}),
        "false",
    ),
    Case(
        "model_metrics.metric_control",
        'model_metrics { metric_control { metric_identifier { family: "x" } } }',
        Warns("model_metrics.metric_control: has no effect"),
    ),
)
