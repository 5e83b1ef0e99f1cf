"""config.yaml -> ModelConfig, or every fault with its place."""

import os
import pickle
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.config import InputConfig, ModelConfig, OutputConfig, WarmupInput, WarmupSample
from onnxd.repository.config_file import BARE, parse_model_config, read_model_config
from onnxd.repository.version_policy import VersionPolicy
from onnxd.runtime.session_config import SessionConfig
from onnxd.scheduler.policy import BatchPolicy
from onnxd.tensors import Datatype


def config_of(text: str) -> ModelConfig:
    return parse_model_config(text.encode()).config


def faults_of(text: str) -> list[str]:
    with pytest.raises(LoadFailed) as caught:
        parse_model_config(text.encode())
    return caught.value.message.split("\n")


def fault_of(text: str) -> str:
    faults = faults_of(text)
    assert len(faults) == 1, faults
    return faults[0]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "{}\n", "\ufeff"])
def test_an_empty_file_is_the_config_of_a_bare_model(text: str) -> None:
    assert parse_model_config(text.encode()) == BARE


def test_a_config_with_every_key_is_read_into_plain_values() -> None:
    config = config_of(
        """
        description: sees digits
        file: digits.onnx
        max_batch_size: 32
        inputs: [{name: image, datatype: FP32, shape: [-1, 64]}, {name: scale, optional: true}]
        outputs: [{name: scores, datatype: FP32, shape: [10], labels: labels.txt}]
        providers: [{CUDAExecutionProvider: {device_id: 1, use_tf32: false}}, CPUExecutionProvider]
        require_provider: CUDAExecutionProvider
        instances: 2
        weight: 3
        session: {intra_op_threads: 3, inter_op_threads: 2, execution_mode: parallel,
                  graph_optimization: basic, options: {session.set_denormal_as_zero: "1"}}
        batching: {max_queue_delay: 5ms, max_queue_size: 9, max_queue_bytes: 1MiB, default_timeout: 2s,
                   allow_timeout_override: false}
        versions: [3, 1]
        warmup: {batch_sizes: [1, 32], samples: [{count: 2, inputs: {image: {shape: [9, 64], fill: random}}}]}
        parameters: {owner: somebody}
        """.replace("\n        ", "\n")
    )
    assert config.inputs == (
        InputConfig("image", Datatype.FP32, (-1, 64)),
        InputConfig("scale", optional=True),
    )
    assert config.outputs == (OutputConfig("scores", Datatype.FP32, (10,), "labels.txt"),)
    assert config.label_files == {"scores": "labels.txt"}
    assert config.versions == VersionPolicy(latest=None, only=(1, 3))
    assert config.warmup.batch_sizes == (1, 32)
    assert config.warmup.samples == (WarmupSample({"image": WarmupInput((9, 64), fill="random")}, count=2),)
    assert config.parameters == {"owner": "somebody"}
    assert config.batching.policy() == BatchPolicy(0.005, 9, 2**20, 2.0, allow_timeout_override=False)
    assert config.session_config() == SessionConfig(
        providers=({"CUDAExecutionProvider": {"device_id": 1, "use_tf32": False}}, "CPUExecutionProvider"),
        require_provider="CUDAExecutionProvider",
        intra_op_threads=3,
        inter_op_threads=2,
        execution_mode="parallel",
        graph_optimization="basic",
        options={"session.set_denormal_as_zero": "1"},
    )


def test_a_silent_config_gives_the_other_parts_their_own_defaults() -> None:
    assert ModelConfig().session_config() == SessionConfig()
    assert ModelConfig().batching.policy() == BatchPolicy()


def test_a_misspelt_key_is_reported_where_it_stands_with_the_nearest_known_key() -> None:
    fault = fault_of("max_batch_size: 4\nbatching:\n\n  max_queue_dealy: 5ms\n")
    assert fault == "config.yaml:4:3: batching.max_queue_dealy: unknown key; did you mean max_queue_delay?"


def test_a_key_unlike_any_other_is_answered_with_the_known_keys() -> None:
    fault = fault_of("warmup: {x: 1}")
    assert fault == "config.yaml:1:10: warmup.x: unknown key; the keys here are batch_sizes, samples"


def test_all_faults_are_reported_at_once_in_the_files_order() -> None:
    faults = faults_of(
        "instances: ten\n"
        "max_batch_size: 8\n"
        "warmup: {batch_sizes: [1, 32]}\n"
        "batching: {max_queue_size: 0, max_queue_size: 5, bogus: 1}\n"
        "require_provider: CUDAExecutionProvider\n"
        "file: null\n"
    )
    assert [fault.split(": ")[:2] for fault in faults] == [
        ["config.yaml:1:12", "instances"],
        ["config.yaml:3:27", "warmup.batch_sizes[1]"],
        ["config.yaml:4:28", "batching.max_queue_size"],
        ["config.yaml:4:31", "batching.max_queue_size"],
        ["config.yaml:4:50", "batching.bogus"],
        ["config.yaml:5:19", "require_provider"],
        ["config.yaml:6:7", "file"],
    ]


def test_a_rule_is_not_checked_against_a_key_that_is_faulty_itself() -> None:
    assert fault_of("max_batch_size: many\nwarmup: {batch_sizes: [4]}\n").startswith("config.yaml:1:17: ")
    assert fault_of("providers: [1]\nrequire_provider: X\n").startswith("config.yaml:1:13: providers[0]: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_batch_size: -1", "expected an integer from 0 to 1000000, got -1"),
        ("max_batch_size: '1'", "expected an integer from 0 to 1000000, got '1'"),
        ("max_batch_size: 1.0", "expected an integer from 0 to 1000000, got 1.0"),
        ("max_batch_size: true", "expected an integer from 0 to 1000000, got true"),
        ("instances: 1000000000", "expected an integer from 1 to 64, got 1000000000"),
        ("instances: [1]", "expected an integer from 1 to 64, got a list of 1"),
        ("description: no", "expected text, got no, which YAML reads as false; put it in quotes"),
        ("description: 1.10", "expected text, got 1.10; put it in quotes"),
        ("inputs: {name: x}", "inputs: expected a list, got a mapping of 1"),
        ("inputs: [x]", "inputs[0]: expected a mapping, got 'x'"),
        ("inputs: [{shape: [1]}]", "inputs[0].name: this key is missing"),
        ("inputs: [{name: ''}]", "expected text that is not empty, got ''"),
        ("inputs: [{name: x, optional: 1}]", "expected true or false, got 1"),
        ("inputs: [{name: x, shape: [-2]}]", "inputs[0].shape[0]: expected an integer from -1 to"),
        ("outputs: [{name: x, datatype: fp32}]", "got 'fp32'; did you mean FP32?"),
        ("outputs: [{name: x, datatype: FLOAT}]", "expected one of BOOL, INT8, "),
        ("session: 4", "session: expected a mapping, got 4"),
        ("session: {execution_mode: serial}", "expected one of sequential, parallel, got 'serial'"),
        ("session: {options: {session.set_denormal_as_zero: 1}}", "expected text, got 1; put it in quotes"),
        ("session: {options: {ep.context_file_path: /x}}", "unknown session option 'ep.context_file_path'"),
        ("batching: {max_queue_delay: 5}", "expected a duration with a unit (us, ms, s, m, h)"),
        ("batching: {default_timeout: 0.5}", "expected text such as '5ms', got 0.5"),
        ("batching: {max_queue_bytes: 64 megs}", "expected a size with a unit"),
        ("batching: {max_queue_bytes: 0}", "expected a size of at least 1B, or -1 for no bound"),
        (f"batching: {{max_queue_bytes: {'9' * 400}GiB}}", "expected a number with its unit, got '999"),
        (f"batching: {{default_timeout: {'9' * 400}h}}", "expected a number with its unit, got '999"),
        ("batching: {default_timeout: 25h}", "expected a duration of at most 24h"),
        ("providers: []", "expected a list of 1 to 16 items, got a list of 0"),
        ("providers: [{A: {x: 1}, B: {}}]", "expected a provider's name, or {name: {option: value}}"),
        ("providers: [{A: {x: [1]}}]", "expected the option x to be text, a number, true, or false"),
        ("providers: ['../x']", "expected a provider's name such as CPUExecutionProvider"),
        ("versions: latest", "expected all, {latest: 2}, or a list of version numbers"),
        ("versions: []", "expected all, {latest: 2}, or a list of version numbers"),
        ("versions: {latest: 0}", "expected the count behind latest to be an integer of at least 1, got 0"),
        ("versions: {newest: 1}", "expected all, {latest: 2}, or a list of version numbers"),
        ("versions: [1, 0]", "expected version numbers of at least 1, got 0"),
        (f"versions: {list(range(1, 1002))}", "expected at most 1000 versions, got 1001"),
        ("versions: [2, 2]", "version 2 is listed twice"),
        ("warmup: {batch_sizes: []}", "expected a list of 1 to 16 items, got a list of 0"),
    ],
)
def test_a_wrong_value_is_answered_with_what_was_expected_and_what_came(text: str, expected: str) -> None:
    assert expected in fault_of(text)


@pytest.mark.parametrize(
    "name", ["../model.onnx", "a/b", "..", ".hidden", "a..b", "", "a\\b", "x" * 201, "é", "a b"]
)
@pytest.mark.parametrize("template", ["file: '{}'", "outputs: [{{name: x, labels: '{}'}}]"])
def test_a_file_name_that_could_lead_out_of_the_directory_is_refused(name: str, template: str) -> None:
    assert "expected a plain file name" in fault_of(template.format(name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("warmup: {batch_sizes: [1]}", "warmup.batch_sizes: needs a max_batch_size of at least 1"),
        ("max_batch_size: 0\nwarmup: {batch_sizes: [1]}", "needs a max_batch_size of at least 1"),
        ("max_batch_size: 4\nwarmup: {batch_sizes: [5]}", "5 rows are more than max_batch_size, which is 4"),
        ("batching: {max_queue_delay: 1ms}", "batching.max_queue_delay: needs a max_batch_size"),
        ("batching: {split_large: true}", "batching.split_large: needs a max_batch_size of at least 1"),
        (
            "max_batch_size: 4\nbatching: {dynamic: false, split_large: true}",
            "batching.split_large: needs batching.dynamic",
        ),
        (
            "max_batch_size: 4\nbatching: {preserve_ordering: true, split_large: true}",
            "batching.split_large: cannot be had with preserve_ordering",
        ),
        (
            "max_batch_size: 4\nbatching: {preserve_ordering: true, single_flight: true}",
            "batching.single_flight: cannot be had with preserve_ordering",
        ),
        (
            "max_batch_size: 4\nbatching: {split_large: true}\ninputs: [{name: x, ragged: true, shape: [2]}]",
            "batching.split_large: cannot be had with ragged inputs",
        ),
        (
            "inputs: [{name: x}, {name: y}, {name: x}]",
            "inputs[2].name: x is listed twice, first as inputs[0]",
        ),
        ("outputs: [{name: x}, {name: x}]", "outputs[1].name: x is listed twice, first as outputs[0]"),
        ("providers: [A, {A: {}}]", "providers[1]: A is listed twice"),
        (
            "inputs: [{name: x, reshape: [2]}]",
            "inputs[0].reshape: needs shape: state the shape that clients see",
        ),
        (
            "outputs: [{name: x, shape: [4], reshape: [3]}]",
            "outputs[0].reshape: [4] and [3] differ in the number of elements: 4 and 3",
        ),
        (
            "max_batch_size: 4\nbatching: {dynamic: false, max_queue_delay: 1ms}",
            "batching.max_queue_delay: needs batching.dynamic",
        ),
        (
            "max_batch_size: 4\nwarmup: {samples: [{batch_size: 5}]}",
            "warmup.samples[0].batch_size: 5 rows are more than max_batch_size, which is 4",
        ),
        ("warmup: {samples: [{batch_size: 2}]}", "2 rows are more than max_batch_size, which is 0"),
        (
            "require_provider: CUDAExecutionProvider",
            "CUDAExecutionProvider is not among providers (CPUExecutionProvider)",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(text: str, expected: str) -> None:
    assert expected in fault_of(text)


def test_a_delay_of_zero_needs_no_batches() -> None:
    assert config_of("batching: {max_queue_delay: 0ms}") == ModelConfig()


@pytest.mark.parametrize(
    "key", ["custom_ops_library", "optimized_model_filepath", "implementation", "platform", "name"]
)
def test_a_key_that_would_load_code_or_write_files_does_not_exist(key: str) -> None:
    assert "unknown key" in fault_of(f"{key}: x.so")


def test_many_faults_are_cut_and_counted() -> None:
    faults = faults_of("".join(f"key{number}: 1\n" for number in range(2000)))
    assert len(faults) == 51
    assert faults[-1] == "config.yaml: and 1950 more"


def test_a_message_holds_nothing_that_a_terminal_acts_upon_and_no_endless_text() -> None:
    fault = fault_of(f'"\\e[31mred\\nline": 1\nfile: {"x" * 5000}/\n'.replace("file", "#"))
    assert "\x1b" not in fault
    assert "\\x1b[31mred\\nline" in fault
    assert len(fault_of(f"file: {'x/' * 5000}")) < 300


def test_a_file_is_read_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("instances: 3\n")
    assert read_model_config(path).config.instances == 3


def test_a_file_that_cannot_be_read_is_a_failed_load_without_its_path(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "directory").mkdir()
    for name in ("missing", "fifo", "directory"):
        with pytest.raises(LoadFailed) as caught:
            read_model_config(tmp_path / name)
        assert caught.value.message.startswith(name)
        assert str(tmp_path) not in caught.value.message


def test_a_loaded_config_travels_between_processes() -> None:
    loaded = parse_model_config(b"max_batch_size: 4\n")
    assert pickle.loads(pickle.dumps(loaded)) == loaded  # noqa: S301 - our own bytes
