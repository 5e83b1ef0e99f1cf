"""Who is let in, and to what."""

from typing import Any

import pytest

from onnxd.errors import MalformedPayload, PermissionDenied, RateLimited, Unauthenticated
from onnxd.messages import ANONYMOUS, Principal
from onnxd.security.gate import EVERYBODY, Caller, Credentials, Gate, may_see, require
from onnxd.security.operations import OPERATIONS
from onnxd.security.restrictions import RestrictionFault, read_restrictions
from onnxd.security.scopes import Scopes
from onnxd.security.token_bucket import Buckets


class Known:
    """Knows the credentials that it was given."""

    def __init__(self, **scopes: str) -> None:
        self._callers = {
            name: Caller(Principal(name), Scopes.parse(text.split())) for name, text in scopes.items()
        }

    def identify(self, credential: str, now_s: float) -> Caller | None:
        return self._callers.get(credential)


GATE = Gate([Known(ann="infer:a*", bob="reader", root="admin")], public=Scopes.parse(["health"]))


def bearing(credential: str) -> Credentials:
    return Credentials(authorization=[f"Bearer {credential}"])


def test_an_open_gate_lets_everybody_do_everything() -> None:
    gate = Gate()
    assert gate.open
    assert all(gate.admit(operation, Credentials()) is EVERYBODY for operation in OPERATIONS)
    for operation in OPERATIONS:
        require(EVERYBODY, operation, "m")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_without_a_credential_there_is_health_and_nothing_else(operation: str) -> None:
    if operation == "health":
        assert GATE.admit(operation, Credentials()).principal is ANONYMOUS
        return
    with pytest.raises(Unauthenticated, match="API key"):
        GATE.admit(operation, Credentials())


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whoever_may_infer_may_do_nothing_else_but_what_all_may(operation: str) -> None:
    if operation in ("infer", "health"):
        assert GATE.admit(operation, bearing("ann")).principal.name == "ann"
        return
    with pytest.raises(PermissionDenied, match="'ann' may not"):
        GATE.admit(operation, bearing("ann"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_admin_may_do_everything(operation: str) -> None:
    require(GATE.admit(operation, bearing("root")), operation, "m")


def test_a_reader_changes_nothing() -> None:
    admin = [name for name, row in OPERATIONS.items() if row.admin]
    assert len(admin) >= 6
    for operation in admin:
        with pytest.raises(PermissionDenied):
            GATE.admit(operation, bearing("bob"))


def test_a_permission_on_some_models_is_none_on_others() -> None:
    ann = GATE.admit("infer", bearing("ann"))
    require(ann, "infer", "a1")
    for model in ("b", "A1"):
        with pytest.raises(PermissionDenied, match=f"on model '{model}'"):
            require(ann, "infer", model)
    assert may_see(ann, "infer", "a1")
    assert not may_see(ann, "infer", "b")


def test_the_key_header_is_as_good() -> None:
    assert GATE.admit("infer", Credentials(api_key=["ann"])).principal.name == "ann"


@pytest.mark.parametrize(
    "sent",
    [
        Credentials(authorization=["Bearer ann", "Bearer ann"]),
        Credentials(api_key=["ann", "root"]),
        Credentials(authorization=["Bearer ann"], api_key=["root"]),
    ],
)
def test_more_than_one_credential_is_a_mistake(sent: Credentials) -> None:
    with pytest.raises(MalformedPayload, match="expected one credential, got 2"):
        GATE.admit("infer", sent)


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer nobody", "Basic YTpi", "ann", "Bearer ann\n x", "Bearer " + "a" * 10**6]
)
def test_what_is_nobodys_credential_is_refused_and_not_repeated(value: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        GATE.admit("infer", Credentials(authorization=[value]))
    assert "nobody" not in refused.value.message


def test_a_wrong_credential_is_refused_even_where_none_is_needed() -> None:
    with pytest.raises(Unauthenticated):
        GATE.admit("health", bearing("nobody"))


RESTRICTED = Gate(restrictions=read_restrictions({"model-repository+logging": "Admin-Key:s3cret"}))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_restricted_api_needs_its_header_and_the_others_none(operation: str) -> None:
    sent = Credentials(restricted={"admin-key": "s3cret"})
    assert RESTRICTED.admit(operation, sent) is EVERYBODY
    if OPERATIONS[operation].restricted_api not in ("model-repository", "logging"):
        assert RESTRICTED.admit(operation, Credentials()) is EVERYBODY
        return
    for wrong in (
        {},
        {"admin-key": "s3cre"},
        {"admin-key": ""},
        {"admin-key": "ß" * 5000},
        {"admin-key": "\udcff"},
    ):
        with pytest.raises(PermissionDenied, match="expecting header 'admin-key'") as refused:
            RESTRICTED.admit(operation, Credentials(restricted=wrong))
        assert "s3cret" not in refused.value.message


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"inferense": "k:v"}, "unknown restricted API 'inferense'; expected one of health, inference"),
        ({"inference": "k"}, "a colon, and its value"),
        ({"inference": "k:"}, "a colon, and its value"),
        ({"inference": "k k:v"}, "a header's name"),
        ({"inference": "k:v", "health+inference": "k:v"}, "'inference' is restricted twice"),
    ],
)
def test_a_restriction_that_restricts_nothing_is_refused(settings: dict[str, str], told: str) -> None:
    with pytest.raises(RestrictionFault, match=told):
        read_restrictions(settings)


def limited(**also: Any) -> Gate:
    """A gate at which an address may fail three times."""
    public = Scopes.parse(["health"])
    return Gate([Known(ann="infer:a*")], public=public, failures=Buckets(1 / 3600, 3, at_most=10), **also)


def wrong(peer: str) -> Credentials:
    return Credentials(authorization=["Bearer wrong"], peer=peer)


def test_an_address_that_guesses_is_told_to_come_again_much_later() -> None:
    gate = limited()
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            gate.admit("infer", wrong("10.0.0.1"))
    with pytest.raises(RateLimited, match=r"auth\.failures_per_minute") as refused:
        gate.admit("infer", wrong("10.0.0.1"))
    assert 3590 < (refused.value.retry_after_s or 0) <= 3600


def test_a_good_credential_passes_from_an_address_that_guesses() -> None:
    gate = limited()
    for _ in range(10):
        with pytest.raises((Unauthenticated, RateLimited)):
            gate.admit("infer", wrong("10.0.0.1"))
    good = Credentials(authorization=["Bearer ann"], peer="10.0.0.1")
    assert gate.admit("infer", good).principal.name == "ann"
    with pytest.raises(Unauthenticated):
        gate.admit("infer", wrong("10.0.0.2"))


def test_no_credential_at_all_is_no_guess() -> None:
    gate = limited()
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            gate.admit("infer", Credentials(peer="10.0.0.1"))


def test_guesses_at_the_value_of_a_restricted_header_count() -> None:
    gate = limited(restrictions=read_restrictions({"model-repository": "Admin-Key:s3cret"}))
    for _ in range(3):
        with pytest.raises(PermissionDenied):
            gate.admit("load", Credentials(restricted={"admin-key": "x"}, peer="10.0.0.1"))
    with pytest.raises(RateLimited):
        gate.admit("load", Credentials(restricted={"admin-key": "x"}, peer="10.0.0.1"))
    with pytest.raises(PermissionDenied):
        gate.admit("load", Credentials(peer="10.0.0.1"))
