"""The group of commands, and what running it costs."""

import importlib
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from onnxd.cli.main import COMMANDS, cli

HEAVY = ("onnxruntime", "aiohttp", "grpc", "numpy", "pydantic", "onnxd_client", "onnxd.app")


def imported(*arguments: str) -> set[str]:
    """The heavy modules that a command line brings in."""
    program = (
        "import sys, onnxd.__main__ as entry\n"
        f"sys.argv = ['onnxd', *{list(arguments)!r}]\n"
        "try:\n    entry.main()\n"
        f"finally:\n    print('imported:', *[name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    return set(done.stdout.split("imported:")[1].split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name: str) -> None:
    command = importlib.import_module(COMMANDS[name].module).command

    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help
    assert all(param.help for param in command.params if isinstance(param, click.Option))


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])

    assert result.exit_code == 0
    for name, command in COMMANDS.items():
        assert f"  {name}" in result.output
        assert command.help in result.output


def test_help_and_version_import_nothing_heavy() -> None:
    assert imported("--help") == set()
    assert imported("--version") == set()


def test_the_help_of_a_remote_command_imports_neither_server_nor_client() -> None:
    assert imported("models", "--help") == set()


def test_the_help_of_serve_imports_neither_front_end_nor_client() -> None:
    assert imported("serve", "--help").isdisjoint({"aiohttp", "grpc", "onnxd_client", "onnxd.app"})


def test_an_unknown_command_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(cli, ["serv"])

    assert result.exit_code == 2
    assert result.stderr == "Error: unknown command 'serv'; did you mean serve?\n"


def test_a_command_that_is_like_none_gets_the_list() -> None:
    result = CliRunner().invoke(cli, ["frobnicate"])

    assert result.exit_code == 2
    assert "the commands are serve, check, " in result.stderr


def test_the_entry_point_switches_the_libraries_own_voices_off_before_they_are_imported() -> None:
    program = (
        "import os, sys, onnxd.__main__ as entry\n"
        "sys.argv = ['onnxd', '--version']\n"
        "try:\n    entry.main()\n"
        "finally:\n    print(os.environ['ORT_DISABLE_TELEMETRY'], os.environ['GRPC_VERBOSITY'])\n"
    )
    environment = {name: value for name, value in os.environ.items() if "ORT_" not in name}
    environment["GRPC_VERBOSITY"] = "DEBUG"

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "1 DEBUG", "an operator's own choice must stand"
