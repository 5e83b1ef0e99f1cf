"""The session's settings."""

import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.session_config import SessionConfig, check_options


def test_the_defaults_are_one_sequential_cpu_session() -> None:
    config = SessionConfig()
    assert config.providers == ("CPUExecutionProvider",)
    assert (config.execution_mode, config.graph_optimization) == ("sequential", "all")
    assert (config.intra_op_threads, config.inter_op_threads) == (0, 1)


def test_a_known_option_passes() -> None:
    check_options({"session.intra_op.allow_spinning": "1"})


def test_a_misspelt_option_is_refused_with_a_suggestion() -> None:
    with pytest.raises(LoadFailed, match=r"did you mean 'session\.intra_op\.allow_spinning'"):
        check_options({"session.intra_op.allow_spining": "1"})


@pytest.mark.parametrize(
    "key",
    [
        "ep.context_file_path",
        "session.collect_node_memory_stats_to_file",
        "session.optimized_model_filepath",
        "session.model_external_initializers_file_folder_path",
    ],
)
def test_an_option_that_reaches_files_is_unknown(key: str) -> None:
    with pytest.raises(LoadFailed, match="unknown session option"):
        check_options({key: "x"})
