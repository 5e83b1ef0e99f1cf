"""Runs a model on made-up rows, alone and in company, and compares what each row gets.

alone       each row by itself
stacked     several rows: each compared with its answer alone
exchanged   every other row replaced: those that stayed compared with what they got before
moved       the same rows in another order: each compared with its answer alone
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np

from onnxd.errors import ModelUnavailable, ServerError
from onnxd.runtime.likeness import difference, magnitude, says_something, tolerance
from onnxd.runtime.made_up import MANNERS, Row, RowInput, make_row, sizes
from onnxd.tensors import Array, Datatype

_POOL: Final = 8
"""Different rows in a round."""
_MEDLEYS: Final = 3
"""Rounds at the end in which each row is made up in another manner than the ones beside it."""
_FEWEST: Final = 3
_SHAPES: Final = 2
_SIZES: Final = (2, 3, 5)
_MOST_ROWS: Final = 128
"""Bigger batches than this are not tried: the biggest that is stands for them."""
_CLEAR: Final = 10.0
"""Two rows are answered differently when they are this many tolerances apart."""
_TIES: Final = 0.02
"""The share of answers that are not floats and may differ with the number of rows: where two candidates are
as good as equal, rounding decides."""
_RUNS_OF_A_SIZE: Final = 4
_FEWEST_COMPOSITIONS: Final = 8
"""Two sizes, or the same one in two rounds."""

Shapes = Mapping[str, tuple[int, ...]]
"""Of a row, by input."""
Run = Callable[[Mapping[str, Array], tuple[str, ...]], dict[str, Array]]
"""As OnnxSession.run."""


@dataclass(slots=True)
class Findings:
    """What a probe has seen so far."""

    rows: int = 0
    """Answers to a row in company that were compared."""
    compositions: int = 0
    worst: float = 0.0
    """The largest difference that was within its tolerance, of the size of the row's answer."""
    influence: str = ""
    """How a row's answer depends on the others; empty if it was never seen to."""
    doubt: str = ""
    """Why nothing is shown; empty when rows are independent as far as can be seen."""
    ties: int = 0
    told: set[str] = field(default_factory=set)
    """Outputs that were seen to depend on the row."""


class Probe:
    """One look at one session. `run` it once."""

    def __init__(
        self,
        run: Run,
        inputs: Sequence[RowInput],
        outputs: Mapping[str, Datatype],
        *,
        max_rows: int,
        budget: Callable[[], float],
    ) -> None:
        """`outputs`: those to be compared. `budget`: the seconds that are left."""
        self._run = run
        self._inputs = inputs
        self._outputs = outputs
        self._names = tuple(outputs)
        self._budget = budget
        most = min(max_rows, _MOST_ROWS)
        self._sizes = sorted({size for size in (*_SIZES, most) if size <= most})
        self._row_s = 0.0
        self.findings = Findings()

    def run(self) -> Findings:
        """Raises nothing for what a run may end with."""
        found = self.findings
        try:
            for seed, (manners, shapes) in enumerate(self._rounds()):
                self._round(manners, shapes, seed)
        except _Influence as influence:
            found.influence = str(influence)
        except _Doubt as doubt:
            found.doubt = str(doubt)
        except _OutOfTime:
            pass
        if not found.influence and not found.doubt:
            self._conclude()
        return found

    def _conclude(self) -> None:
        found = self.findings
        silent = [name for name in self._names if name not in found.told]
        if found.compositions < _FEWEST_COMPOSITIONS:
            found.doubt = f"it is too slow: there was time for {found.compositions} batches of made-up rows"
        elif found.ties > max(1, _TIES * found.rows):
            found.influence = (
                f"{found.ties} of {found.rows} answers differ between a row alone and in a batch"
            )
        elif silent:
            found.doubt = f"output '{silent[0]}' was the same for all rows that were tried"

    def _rounds(self) -> Iterator[tuple[Sequence[int], Shapes]]:
        """Manners to make rows up, and their shapes: all that the model takes together, each by itself, all
        in a second size of what is free, and all a few times more."""
        (shapes, manners), *more = self._taken()
        yield manners, shapes
        yield from (((manner,), shapes) for manner in manners)
        yield from ((others, other_shapes) for other_shapes, others in more)
        yield from ((manners, shapes) for _ in range(_MEDLEYS))

    def _taken(self) -> list[tuple[Shapes, list[int]]]:
        """The first two shapes that the model takes, and the manners that it takes in them."""
        taken: list[tuple[Shapes, list[int]]] = []
        refusal = "there are none"
        for shapes in sizes(self._inputs):
            manners = []
            for manner in range(MANNERS):
                if self._budget() <= 0:
                    break
                try:
                    self._answers([make_row(self._inputs, shapes, manner, np.random.default_rng(manner))])
                    manners.append(manner)
                except ServerError as error:
                    refusal = error.message
            if manners:
                taken.append((shapes, manners))
            if len(taken) == _SHAPES:
                break
        if not taken and self._budget() > 0:
            raise _Doubt(f"it takes none of the made-up rows: {refusal}")
        if not taken:
            raise _OutOfTime
        return taken

    def _round(self, manners: Sequence[int], shapes: Shapes, seed: int) -> None:
        random = np.random.default_rng(1000 + seed)
        pool, alone = [], []
        for _, manner in zip(range(_POOL), itertools.cycle(manners), strict=False):
            if self._budget() <= 0:
                raise _OutOfTime
            row = make_row(self._inputs, shapes, manner, random)
            start_s = time.monotonic()
            try:
                answer = self._answers([row])
            except ServerError:
                continue  # not every made-up row is one that the model takes
            self._row_s = time.monotonic() - start_s
            pool.append(row)
            alone.append(answer)
        if len(pool) < _FEWEST:
            return
        comparison = _Comparison(
            self._outputs, alone, lambda row: self._answers([pool[row], pool[row]]), self.findings
        )
        comparison.repeated(self._answers(pool[:1]))
        for size in self._sizes:
            if _RUNS_OF_A_SIZE * self._row_s * size > self._budget():
                raise _OutOfTime
            try:
                self._compose(pool, comparison, size, random)
            except ModelUnavailable:
                return  # memory is short for so many rows, which says nothing of them
            if size == self._sizes[0]:
                comparison.tell()

    def _compose(
        self, pool: Sequence[Row], comparison: "_Comparison", size: int, random: "np.random.Generator"
    ) -> None:
        count = len(pool)
        first = random.permutation(np.resize(random.permutation(count), size))
        others = (first + random.integers(1, count, size)) % count
        even = np.arange(size) % 2 == 0
        stacked = self._stacked(pool, first, comparison)
        for stays in (even, ~even):
            chosen = np.where(stays, first, others)
            exchanged = self._stacked(pool, chosen, comparison)
            comparison.exchanged(stacked, exchanged, np.flatnonzero(stays))
        self._stacked(pool, np.roll(first, 1), comparison)

    def _stacked(
        self, pool: Sequence[Row], chosen: Sequence[int] | Array, comparison: "_Comparison"
    ) -> dict[str, Array]:
        try:
            answers = self._answers([pool[int(index)] for index in chosen])
        except ModelUnavailable:
            raise
        except ServerError as error:
            text = f"a batch of {len(chosen)} rows fails where each of them alone does not: {error.message}"
            raise _Influence(text) from error
        comparison.stacked(answers, [int(index) for index in chosen])
        return answers

    def _answers(self, rows: Sequence[Row]) -> dict[str, Array]:
        names = [tensor.name for tensor in self._inputs]
        stacked = {name: np.concatenate([row[name] for row in rows]) for name in names}
        answers = self._run(stacked, self._names)
        for name, answer in answers.items():
            if answer.shape[:1] != (len(rows),):
                what = f"of shape {list(answer.shape)} for {len(rows)} row{'s' * (len(rows) > 1)}"
                raise _Influence(f"output '{name}' is {what}: it is not one answer for each")
        return answers


class _Influence(Exception):
    """A row's answer depends on its company. The text is the evidence."""


class _Doubt(Exception):
    """Nothing can be shown. The text is the reason."""


class _OutOfTime(Exception):
    """What has been seen until here counts."""


class _Comparison:
    """The answers of one round."""

    def __init__(
        self,
        outputs: Mapping[str, Datatype],
        alone: Sequence[Mapping[str, Array]],
        doubled: Callable[[int], Mapping[str, Array]],
        findings: Findings,
    ) -> None:
        """`doubled` runs a row together with itself."""
        self._outputs = outputs
        self._alone = alone
        self._doubled = cache(doubled)
        self._findings = findings
        self._largest = {name: max(magnitude(answer[name]) for answer in alone) for name in outputs}

    def stacked(self, answers: Mapping[str, Array], rows: Sequence[int]) -> None:
        """Each row of a batch against its answer alone."""
        self._findings.compositions += 1
        for name, datatype in self._outputs.items():
            for place, row in enumerate(rows):
                answer, allowed = answers[name][place : place + 1], tolerance(datatype)
                apart = self._apart(name, answer, self._alone[row][name])
                self._findings.rows += 1
                if apart > allowed.size and not self._is_as_doubled(name, answer, row):
                    if datatype.is_float:
                        raise _Influence(
                            f"row {place} of output '{name}' in a batch of {len(rows)} differs{_by(apart)} "
                            "from what it is alone"
                        )
                    self._findings.ties += 1
                else:
                    self._findings.worst = max(self._findings.worst, apart)

    def _is_as_doubled(self, name: str, answer: Array, row: int) -> bool:
        """A runtime multiplies one row otherwise than several, and some models make much of the rounding."""
        doubled = self._doubled(row)[name][:1]
        allowed = tolerance(self._outputs[name])
        return (
            self._apart(name, doubled, self._alone[row][name]) <= allowed.single
            and self._apart(name, answer, doubled) <= allowed.size
        )

    def exchanged(
        self, before: Mapping[str, Array], after: Mapping[str, Array], stayed: Sequence[int] | Array
    ) -> None:
        """The rows that stayed when the others were exchanged."""
        for name, datatype in self._outputs.items():
            for place in stayed:
                apart = self._apart(name, before[name][place : place + 1], after[name][place : place + 1])
                self._findings.rows += 1
                if apart > tolerance(datatype).company:
                    raise _Influence(
                        f"row {place} of output '{name}' in a batch of {len(before[name])} changes"
                        f"{_by(apart)} when the rows beside it are exchanged"
                    )

    def repeated(self, answers: Mapping[str, Array]) -> None:
        """The first row alone once more."""
        for name, datatype in self._outputs.items():
            apart = self._apart(name, answers[name], self._alone[0][name])
            if apart > tolerance(datatype).company:
                raise _Doubt(f"output '{name}' is another each time for the same row")

    def tell(self) -> None:
        """Which outputs depend on the row, so that nothing is proven by answers that are always the same."""
        for name, datatype in self._outputs.items():
            clear = _CLEAR * tolerance(datatype).company
            answers = [answer[name] for answer in self._alone if says_something(answer[name])]
            if any(
                self._apart(name, one, other) > clear for one, other in itertools.combinations(answers, 2)
            ):
                self._findings.told.add(name)

    def _apart(self, name: str, one: Array, other: Array) -> float:
        return difference(one, other, self._largest[name])


def _by(apart: float) -> str:
    return "" if apart == float("inf") else f" by {apart:.2g} of its size"
