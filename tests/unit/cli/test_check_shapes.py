"""`onnxd check` on models whose requests are padded."""

from pathlib import Path

from click.testing import CliRunner

from onnxd.cli.main import cli
from tests.support import sequence_graphs
from tests.support.server import publish

CONFIG = "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8]}}\n"


def test_check_tells_of_it_too_and_refuses_what_cannot_be(tmp_path: Path) -> None:
    publish(tmp_path, "plain", 1, sequence_graphs.plain_mean(), CONFIG)
    publish(tmp_path, "strict", 1, sequence_graphs.plain_mean(), CONFIG + "batching: {verify: strict}\n")
    publish(tmp_path, "mistaken", 1, sequence_graphs.plain_mean(), CONFIG.replace("seq", "sequence"))
    result = CliRunner().invoke(cli, ["check", str(tmp_path)], env={"ONNXD_TRIAL_WALL": "50s"})
    assert result.exit_code == 1
    assert "model 'plain': dynamic_axes: padding changes the answers of this model" in result.output
    assert "config.yaml:2:15: dynamic_axes: padding changes the answers of this model" in result.output
    assert (
        "config.yaml:2:26: dynamic_axes.sequence: no input of the graph has an axis 'sequence'"
        in result.output
    )
