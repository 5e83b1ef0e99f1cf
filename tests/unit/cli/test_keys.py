"""`onnxd keys`: a key is shown once, listed without itself, and revoked."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from onnxd.cli.main import cli
from onnxd.security import key_file
from onnxd.security.api_key import read_key


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["keys", *arguments, "--file", str(path)])


def added(path: Path, *arguments: str) -> str:
    result = run(path, "add", "team", "--scope", "infer:digits*", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def secret_of(key: str) -> str:
    parts = read_key(key)
    assert parts is not None
    return parts.secret


def listed(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(run(path, "list", "--json").stdout)
    return rows


def test_a_key_is_shown_alone_on_standard_output_and_holds(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = read_key(added(path))
    assert key is not None
    assert key_file.load(path).find(key, 0.0) is not None


def test_the_list_shows_whose_keys_there_are_and_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, other = added(path), added(path, "--days", "30")
    rows = listed(path)
    assert [row["principal"] for row in rows] == ["team", "team"]
    assert [row["ends"] == "never" for row in rows] == [True, False]
    assert {row["state"] for row in rows} == {"holds"}
    shown = run(path, "list").output
    assert "infer:digits*" in shown
    assert secret_of(key) not in shown + str(rows)
    assert secret_of(other) not in shown + str(rows)


def test_a_revoked_key_stays_in_the_list_as_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    added(path)
    identity = listed(path)[0]["id"]
    assert run(path, "revoke", identity).exit_code == 0
    assert listed(path)[0]["state"] == "revoked"


def test_a_key_that_there_is_not_cannot_be_revoked(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    added(path)
    result = run(path, "revoke", "abcdefghijkl")
    assert result.exit_code == 2
    assert "no key has the id 'abcdefghijkl'" in result.output


def test_a_scope_that_says_nothing_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    result = run(path, "add", "team", "--scope", "fly")
    assert result.exit_code == 2
    assert "unknown verb or role 'fly'; expected one of health" in result.output
    assert not path.exists()


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text("{}")
    path.chmod(0o600)
    result = run(path, "list")
    assert result.exit_code == 1
    assert "is not a file of keys" in result.output
