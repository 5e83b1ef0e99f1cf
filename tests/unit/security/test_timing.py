"""J13: what a wrong key costs does not tell how much of it is right. Counted, not measured: the interpreter
does the same, step by step, whatever is wrong with a key, and the bytes are compared by what does not stop at
the first that differs. The figure of time is `python -m benchmarks.gate`'s."""

import hmac
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from onnxd.security import key_file
from onnxd.security.api_key import ApiKey, read_key
from onnxd.security.key_file import KeySet

NOW_S = 1_800_000_000.0
KEYS, GOOD = key_file.empty().with_new("ann", ("infer",), NOW_S, None)


def other(character: str) -> str:
    return "B" if character == "A" else "A"


def wrong(how: str) -> ApiKey:
    """Keys of the right form, with the check that belongs to them."""
    secret = GOOD.secret
    return {
        "first": ApiKey(GOOD.id, other(secret[0]) + secret[1:]),
        "last": ApiKey(GOOD.id, secret[:-1] + other(secret[-1])),
        "all": ApiKey(GOOD.id, "".join(map(other, secret))),
        "id": ApiKey("zzzzzzzzzzzz", secret),
    }[how]


def steps(work: Callable[[], object]) -> int:
    """How many instructions the interpreter carries out."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def found(keys: KeySet, key: ApiKey) -> object:
    read = read_key(key.text())
    assert read is not None
    return keys.find(read, NOW_S)


def test_J13_a_key_that_is_wrong_in_its_last_byte_takes_the_same_steps_as_in_its_first() -> None:
    assert found(KEYS, GOOD) is not None
    counted = {how: steps(partial(found, KEYS, wrong(how))) for how in ("first", "last", "all")}
    assert len(set(counted.values())) == 1
    assert counted["first"] > 0


@pytest.mark.parametrize("how", ["first", "last", "all", "id"])
def test_J13_every_wrong_key_is_compared_in_constant_time(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return hmac_compare(a, b)

    hmac_compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert found(KEYS, wrong(how)) is None
    assert compared == [(64, 64)]
