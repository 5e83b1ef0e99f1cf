"""`onnxd serve` and `onnxd settings`: options, faults, exit codes."""

import re
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from onnxd.repository.store import SnapshotStore
from onnxd.settings.table import settings_by_path


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=environment)


def origins(result: Result) -> dict[str, tuple[str, str]]:
    """Setting -> value and origin, from the table that `onnxd settings` prints."""
    rows = [re.split(r" {2,}", line) for line in result.stdout.splitlines()[2:]]
    return {row[0]: (row[1], row[2]) for row in rows}


def test_help_shows_every_setting_under_its_part() -> None:
    help_text = run("serve", "--help").output

    for setting in settings_by_path().values():
        assert f"  {setting.flag}" in help_text
    assert help_text.index("\nHTTP:") < help_text.index("  --http-port") < help_text.index("\nGRPC:")


def test_settings_shows_values_and_where_they_come_from(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("http:\n  port: 1\nlog: {format: json}\n")

    shown = origins(
        run(
            "settings", "--config", str(file), "--http-port", "2", "--no-grpc-reflection", ONNXD_GRPC_PORT="3"
        )
    )

    assert list(shown) == [setting.name for setting in settings_by_path().values()]
    assert shown["http.port"] == ("2", "--http-port")
    assert shown["grpc.port"] == ("3", "ONNXD_GRPC_PORT")
    assert shown["grpc.reflection"] == ("false", "--grpc-reflection")
    assert shown["log.format"] == ("json", f"{file}:3")
    assert shown["drain.grace"] == ("30s", "default")
    assert shown["state_dir"] == ("unset", "default")


def test_settings_can_be_limited_to_what_is_not_default() -> None:
    assert list(origins(run("settings", "--changed", "--log-level", "debug"))) == ["log.level"]


def test_settings_shows_no_secret() -> None:
    result = run("settings", "--tracing-headers", "x-key=hunter2")

    assert origins(result)["tracing.headers"] == ("x-key: (not shown)", "--tracing-headers")
    assert "hunter2" not in result.output


def test_a_list_is_given_by_repeating_its_flag() -> None:
    result = run("settings", "--model-repository", "one", "--model-repository", "two")

    assert origins(result)["model_repository"][0] == "[one, two]"


def test_all_faults_are_told_at_once_with_exit_code_2() -> None:
    result = run(
        "serve", "--http-prot", "1", "--grpc-prot=2", "--log-level", "loud", "stray", ONNXD_HTTP_PORT="x"
    )

    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "Error: the settings have 5 faults:",
        "  ONNXD_HTTP_PORT: expected an integer from 0 to 65535, got 'x'",
        "  --log-level: expected one of debug, info, warning, error, got 'loud'",
        "  --http-prot: unknown flag; did you mean --http-port?",
        "  --grpc-prot: unknown flag; did you mean --grpc-port?",
        "  stray: unexpected argument; see `onnxd serve --help`",
    ]


def test_a_file_that_is_not_there_is_a_mistake_not_a_traceback() -> None:
    result = run("serve", "--config", "nowhere.yaml")

    assert (result.exit_code, result.stderr) == (
        2,
        "Error: the settings have a fault:\n  nowhere.yaml: there is no such file\n",
    )


def test_what_keeps_the_server_from_starting_is_one_line_with_exit_code_1(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with SnapshotStore(state):
        result = run(
            "serve", "--state-dir", str(state), "--http-port", "0", "--grpc-port", "0",
            "--model-repository", str(tmp_path),
        )  # fmt: skip

    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: the state directory {state} is in use by another onnxd")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "incomplete", "expected"),
    [
        (["serve", "--model-control"], "e", "explicit"),
        (["serve"], "--http-po", "--http-port"),
        ([], "mod", "models"),
    ],
    ids=["a choice", "a flag", "a command"],
)
def test_the_shell_completes(arguments: list[str], incomplete: str, expected: str) -> None:
    completion = ShellComplete(cli, {}, "onnxd", "_ONNXD_COMPLETE")

    assert [item.value for item in completion.get_completions(arguments, incomplete)] == [expected]
