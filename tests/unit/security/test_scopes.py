"""What a scope permits, and what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.security.scopes import ROLES, ScopeFault, Scopes

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("scope", "model", "permitted"),
    [
        ("infer", "digits", True),
        ("infer:*", "digits", True),
        ("infer:digits", "digits", True),
        ("infer:digits*", "digits-v2", True),
        ("infer:*-v2", "digits-v2", True),
        ("infer:a*", "b", False),
        ("infer:a*", "A", False),
        ("infer:a.c", "abc", False),
        ("infer:digits", "digits2", False),
        ("control:*", "digits", False),
        ("metadata", "digits", False),
    ],
)
def test_a_scope_permits_its_verb_on_the_models_of_its_pattern(
    scope: str, model: str, permitted: bool
) -> None:
    assert Scopes.parse([scope]).permits("infer", model) is permitted


def test_a_scope_on_some_models_permits_the_verb_on_the_server_as_a_whole() -> None:
    assert Scopes.parse(["infer:digits"]).permits("infer")


def test_scopes_add_up() -> None:
    scopes = Scopes.parse(["infer:a*", "infer:b", "metrics"])
    assert [scopes.permits("infer", name) for name in ("a1", "b", "b1")] == [True, True, False]
    assert scopes.permits("metrics")


def test_a_role_stands_for_its_verbs() -> None:
    for role, verbs in ROLES.items():
        scopes = Scopes.parse([f"{role}:m*"])
        assert all(scopes.permits(verb, "m1") and not scopes.permits(verb, "n") for verb in verbs)


def test_nobody_but_an_admin_and_an_operator_may_control() -> None:
    assert [role for role in ROLES if Scopes.parse([role]).permits("control")] == ["operator", "admin"]


@pytest.mark.parametrize(
    "text", ["", "fly", "infer:", "infer:a b", "infer:a/../b", "INFER", "infer:[a-z]", ":a"]
)
def test_what_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ScopeFault, match="scope"):
        Scopes.parse([text])


@given(NAMES, NAMES)
def test_a_name_as_a_pattern_is_that_name_alone(pattern: str, name: str) -> None:
    assert Scopes.parse([f"infer:{pattern}"]).permits("infer", name) is (pattern == name)
