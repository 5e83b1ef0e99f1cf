"""What the gate has said of a head, and for how long that holds."""

import math

from onnxd.messages import Principal
from onnxd.security.gate import Caller, Verdict
from onnxd.security.scopes import EVERYTHING


def caller(ends_s: float = math.inf) -> Caller:
    return Caller(Principal("somebody"), EVERYTHING, ends_s)


def test_nothing_is_known_of_a_head_that_is_new() -> None:
    assert Verdict().caller(object(), 0.0) is None
    assert Verdict().caller(None, 0.0) is None


def test_a_verdict_holds_for_the_keys_of_its_edition() -> None:
    verdict, somebody, edition = Verdict(), caller(), object()
    verdict.note(somebody, edition)
    assert verdict.caller(edition, 1e12) is somebody
    assert verdict.caller(object(), 0.0) is None


def test_a_verdict_ends_with_the_credential() -> None:
    verdict, edition = Verdict(), object()
    verdict.note(caller(ends_s=100.0), edition)
    assert verdict.caller(edition, 99.9) is not None
    assert verdict.caller(edition, 100.0) is None
