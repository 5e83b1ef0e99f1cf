"""Tokens: who is let in by one, and by which not."""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from onnxd.security.jwt_config import JwtConfig
from onnxd.security.tokens import KeysFault, TokenKeys, Tokens

ISSUER: Final = "https://issuer.example"
CONFIG: Final = JwtConfig(issuer=ISSUER, audience="onnxd")
RSA_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
ED_KEY: Final = ed25519.Ed25519PrivateKey.generate()
PUBLIC_PEM: Final = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def jwk(algorithm: Any, key: Any, kid: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return {**document, "kid": kid, "use": "sig"}


KEYS: Final = {
    "keys": [
        jwk(jwt.algorithms.RSAAlgorithm, RSA_KEY, "r"),
        jwk(jwt.algorithms.ECAlgorithm, EC_KEY, "e"),
        jwk(jwt.algorithms.OKPAlgorithm, ED_KEY, "o"),
    ]
}


def claims(**changes: object) -> dict[str, object]:
    now_s = int(time.time())
    made = {
        "iss": ISSUER,
        "aud": "onnxd",
        "sub": "ann",
        "iat": now_s,
        "exp": now_s + 600,
        "scope": "infer:a*",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def token(
    content: Mapping[str, object] | None = None, key: Any = RSA_KEY, algorithm: str = "RS256", **header: Any
) -> str:
    return jwt.encode(dict(content or claims()), key, algorithm, headers={"kid": "r", **header})


def tokens() -> Tokens:
    known = Tokens(CONFIG)
    known.use(TokenKeys.read(KEYS))
    return known


def accepted(text: str) -> bool:
    return tokens().identify(text, time.time()) is not None


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA_KEY, "RS256", "r"), (RSA_KEY, "PS256", "r"), (EC_KEY, "ES256", "e"), (ED_KEY, "EdDSA", "o")],
)
def test_a_token_of_the_issuer_says_who_asks_and_what_they_may_do(key: Any, algorithm: str, kid: str) -> None:
    known = tokens()
    for _ in range(2):  # verified, and then remembered
        caller = known.identify(token(key=key, algorithm=algorithm, kid=kid), time.time())
        assert caller is not None
        assert caller.principal.name == "ann"
        assert caller.scopes.permits("infer", "a1")
        assert not caller.scopes.permits("infer", "b")


def test_J5_a_token_without_a_signature_is_nobodys() -> None:
    assert not accepted(jwt.encode(claims(), "", "none", headers={"kid": "r"}))


def test_J5_the_public_key_is_no_secret() -> None:
    secret = PUBLIC_PEM.replace(b"-----BEGIN PUBLIC KEY-----", b"").strip()
    assert not accepted(jwt.encode(claims(), secret, "HS256", headers={"kid": "r"}))


def test_J5_a_key_in_the_document_that_is_a_secret_is_left_out() -> None:
    secret = {"kty": "oct", "kid": "s", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}
    with pytest.raises(KeysFault):
        TokenKeys.read({"keys": [secret]})


def test_J5_a_key_that_the_token_brings_is_not_looked_at() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own = jwk(jwt.algorithms.RSAAlgorithm, other, "r")
    assert not accepted(token(key=other, jwk=own, jku="https://evil.example/keys"))


def test_J5_an_algorithm_of_another_kind_of_key_is_refused() -> None:
    assert not accepted(token(key=EC_KEY, algorithm="ES256", kid="r"))


NOW_S: Final = int(time.time())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW_S - 3600, "iat": NOW_S - 7200},
        {"nbf": NOW_S + 3600},
        {"iat": NOW_S + 3600, "exp": NOW_S + 7200},
        {"exp": None},
        {"iat": None},
        {"aud": None},
        {"iss": None},
        {"sub": None},
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"iss": ISSUER + "/"},
        {"iss": ISSUER[:-1]},
        {"sub": ""},
        {"sub": "a\nb"},
    ],
    ids="-".join,
)
def test_J6_claims_that_do_not_hold_are_refused(changes: dict[str, object]) -> None:
    assert not accepted(token(claims(**changes)))


def test_J6_a_token_for_several_is_for_us_too() -> None:
    assert accepted(token(claims(aud=["another", "onnxd"])))


@pytest.mark.parametrize(
    "exp",
    [NOW_S + 100 * 365 * 86_400, 10**300, 1e300, NOW_S + 2 * 86_400],
    ids=["a century", "10**300", "1e300", "two days"],
)
def test_J7_a_token_that_holds_too_long_is_refused(exp: float) -> None:
    assert not accepted(token(claims(exp=exp)))


def test_a_token_of_another_type_is_refused() -> None:
    assert accepted(token(typ="at+jwt"))
    assert not accepted(token(typ="dpop+jwt"))


def test_a_remembered_token_ends() -> None:
    known, text = tokens(), token()
    caller = known.identify(text, time.time())
    assert caller is not None
    assert known.identify(text, caller.ends_s + 1) is None


def test_J11_a_key_that_the_issuer_has_dropped_holds_no_longer_and_a_new_one_does() -> None:
    known, old, new = tokens(), token(), token(key=EC_KEY, algorithm="ES256", kid="e")
    assert known.identify(old, time.time()) is not None
    known.use(TokenKeys.read({"keys": KEYS["keys"][1:]}))
    assert known.identify(old, time.time()) is None
    assert known.identify(new, time.time()) is not None
    assert known.missed


@pytest.mark.parametrize(
    "text",
    ["", "a.b", "a.b.c", "..", "a" * 9000, "ä.ö.ü", token()[:-10], token() + "\n", "a.b.c.d.e"],
    ids=[str(number) for number in range(9)],
)
def test_what_is_no_token_is_nobodys(text: str) -> None:
    assert not accepted(text)


def test_scopes_of_other_services_mean_nothing_here() -> None:
    caller = tokens().identify(token(claims(scope="openid email infer:a* fly:high")), time.time())
    assert caller is not None
    assert caller.scopes.texts == ("infer:a*",)


def test_scopes_may_be_a_list() -> None:
    caller = tokens().identify(token(claims(scope=["reader", 7, None])), time.time())
    assert caller is not None
    assert caller.scopes.texts == ("reader",)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"keys": 1}, {"keys": []}, {"keys": [1, {}, {"kty": "RSA", "kid": "x"}]}]
)
def test_a_document_without_keys_is_told(document: object) -> None:
    with pytest.raises(KeysFault):
        TokenKeys.read(document)
