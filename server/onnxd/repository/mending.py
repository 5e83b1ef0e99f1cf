"""Mending a config file as far as it is certain: fault by fault, each change tried before it is kept.

Pure: text goes in, text comes out. What is wrong with a text is the caller's to say.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from onnxd.repository.document import Fault, Loc
from onnxd.repository.mends import Rename
from onnxd.repository.yaml_edit import CannotEditError, edited

Examine = Callable[[str], Sequence[Fault]]
"""All that is wrong with a text, the same for the same text."""

_MAX_STEPS: Final = 200
_MAX_DEPTH: Final = 3

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a text."""

    text: str
    mended: tuple[Fault, ...] = ()
    """The faults that are gone, in the order in which they were mended."""


def mend(text: str, examine: Examine) -> Mended:
    """Mend what can be mended.

    A change is kept only if its fault is gone and everything that it brings about can be mended too, so a
    file never gets worse; mending the result again changes nothing.
    """
    done: list[Fault] = []
    refused: set[tuple[_Key, Loc]] = set()
    faults = examine(text)
    for _ in range(_MAX_STEPS):
        fault = next((each for each in faults if each.mend and (_key(each), each.loc) not in refused), None)
        if fault is None:
            break
        changed = _attempt(text, fault, faults, examine, _MAX_DEPTH)
        if changed is None:
            refused.add((_key(fault), fault.loc))
        else:
            # What could not be done before may be possible now.
            text, done, refused = changed, [*done, fault], set()
            faults = examine(text)
    return Mended(text, tuple(done))


def mended_alone(text: str, fault: Fault) -> str | None:
    """The text with one fault's mend, whatever else is wrong; None if there is no change to make."""
    if not fault.mend:
        return None
    try:
        return edited(text, fault.mend)
    except CannotEditError:
        return None


def _attempt(text: str, fault: Fault, faults: Sequence[Fault], examine: Examine, depth: int) -> str | None:
    changed = mended_alone(text, fault)
    if changed is None or depth == 0:
        return None
    after = examine(changed)
    counts = Counter(map(_key, faults))
    if Counter(map(_key, after))[_key(fault)] >= counts[_key(fault)]:
        return None
    while fresh := _fresh(after, counts, fault):
        follow = _attempt(changed, fresh, after, examine, depth - 1)
        if follow is None:
            return None
        changed, after = follow, examine(follow)
    return changed


def _fresh(after: Sequence[Fault], before: Counter[_Key], mended: Fault) -> Fault | None:
    """A fault that the mend has caused.

    Not one that only came to light: under a key that now has its name, or by a check that is made once the
    earlier ones are passed.
    """
    left = before.copy()
    for fault in after:
        left[_key(fault)] -= 1
        hidden = _stage(fault) > _stage(mended) or any(
            _within(fault.loc, place) for place in _revealed(mended)
        )
        if left[_key(fault)] < 0 and not hidden:
            return fault
    return None


def _stage(fault: Fault) -> int:
    """The file, its keys and values, keys against keys, and everything else."""
    return min(int(fault.code.value[1:3]), 3)


def _revealed(fault: Fault) -> list[Loc]:
    return [(*edit.loc[:-1], edit.key) for edit in fault.mend if isinstance(edit, Rename)]


def _within(loc: Loc, outer: Loc) -> bool:
    return loc[: len(outer)] == outer


def _key(fault: Fault) -> _Key:
    """Places shift when other things are mended; what is said of them does not."""
    return fault.code.value, fault.text
