"""API keys: made, read, sealed, kept in a file."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.security import key_file
from onnxd.security.api_key import LONGEST, holds, new_key, read_key, seal
from onnxd.security.key_file import KeyFileUnusable, KeySet
from onnxd.security.scopes import ScopeFault

NOW_S = 1_800_000_000.0


def test_a_key_is_read_back_from_its_text() -> None:
    key = new_key()
    assert read_key(key.text()) == key
    assert len(key.text()) == LONGEST


def test_two_keys_are_different() -> None:
    assert new_key() != new_key()


def test_a_secret_is_not_in_what_is_kept_of_it() -> None:
    key = new_key()
    sealed = seal(key.secret, b"p" * 32)
    assert key.secret not in sealed
    assert holds(key.secret, b"p" * 32, sealed)
    assert not holds(key.secret, b"q" * 32, sealed)


@given(st.integers(0, LONGEST - 1), st.characters(codec="utf-8"))
def test_a_key_with_any_character_changed_is_none(at: int, other: str) -> None:
    text = new_key().text()
    if text[at] != other:
        assert read_key(text[:at] + other + text[at + 1 :]) is None


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text + "\n", lambda text: text[:-1], lambda text: text * 20_000]
)
def test_what_is_nearly_a_key_is_none(change: object) -> None:
    assert callable(change)
    assert read_key(change(new_key().text())) is None


def secret_of(key: str) -> str:
    parts = read_key(key)
    assert parts is not None
    return parts.secret


def issued(scopes: tuple[str, ...] = ("infer",), not_after: float | None = None) -> tuple[KeySet, str, str]:
    keys, key = key_file.empty().with_new("team", scopes, NOW_S, not_after)
    return keys, key.text(), key.id


def test_a_key_that_was_issued_is_found() -> None:
    keys, text, identity = issued()
    key = read_key(text)
    assert key is not None
    found = keys.find(key, NOW_S)
    assert found is not None
    assert found[0].principal == "team"
    assert found[0].id == identity


def test_the_id_of_one_key_with_the_secret_of_another_is_nobodys() -> None:
    keys, one = key_file.empty().with_new("a", ("infer",), NOW_S, None)
    keys, other = keys.with_new("b", ("admin",), NOW_S, None)
    assert keys.find(other._replace(secret=one.secret), NOW_S) is None


def test_a_revoked_key_is_nobodys() -> None:
    keys, text, identity = issued()
    without = keys.without(identity)
    key = read_key(text)
    assert without is not None
    assert key is not None
    assert without.find(key, NOW_S) is None


def test_a_key_ends() -> None:
    keys, text, _ = issued(not_after=NOW_S + 10)
    key = read_key(text)
    assert key is not None
    assert keys.find(key, NOW_S + 9) is not None
    assert keys.find(key, NOW_S + 10) is None


def test_revoking_what_there_is_not_is_told() -> None:
    assert key_file.empty().without("abcdefghijkl") is None


def test_a_key_of_a_scope_that_says_nothing_is_not_issued() -> None:
    with pytest.raises(ScopeFault):
        issued(scopes=("fly",))


def test_the_file_has_no_secret_and_is_its_owners_alone(tmp_path: Path) -> None:
    keys, text, _ = issued()
    path = tmp_path / "keys.json"
    key_file.save(path, keys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret_of(text) not in path.read_text()
    assert key_file.load(path) == keys or key_file.load(path).records == keys.records


def test_a_file_that_others_may_read_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key_file.save(path, issued()[0])
    path.chmod(0o640)
    with pytest.raises(KeyFileUnusable, match="chmod 600"):
        key_file.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"pepper": "zz", "keys": []}', '{"pepper": "00", "keys": []}', "[" * 100_000],
)
def test_a_file_that_is_no_file_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyFileUnusable):
        key_file.load(path)


def test_a_key_with_a_scope_that_says_nothing_makes_the_file_unusable(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key_file.save(path, issued()[0])
    path.write_text(json.dumps(json.loads(path.read_text())).replace('"infer"', '"fly"'))
    with pytest.raises(KeyFileUnusable, match="unknown verb or role 'fly'"):
        key_file.load(path)


def test_a_missing_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(KeyFileUnusable, match="onnxd keys add"):
        key_file.load(tmp_path / "keys.json")
