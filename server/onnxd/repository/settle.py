"""Which of the things seen on disk may be acted on: what has stopped changing, and what is surely gone.

Pure: scans and times go in, decisions come out; the clock is the caller's and monotonic.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from onnxd.repository.layout import ModelFiles, RepositorySnapshot

MASS_REMOVAL_MODELS: Final = 2
"""From this many models on, the removal of more than half at once needs more confirmation than one."""


@dataclass(frozen=True, slots=True)
class SettledRepository:
    """What may be acted on. A name that is neither in `models` nor in `undecided` is gone for certain."""

    models: Mapping[str, ModelFiles]
    """Those that have settled, faulty ones included."""
    undecided: Mapping[str, str]
    """Names to leave as they are for now, whatever they are doing, and why."""
    problems: tuple[str, ...]
    """For the operator's log."""
    look_again_s: float | None
    """When a further scan may decide more, on the clock of `Settling.feed`; None = nothing is open."""
    awaited: bool = False
    """A repository that is filled from elsewhere has not been yet."""

    def same_as(self, other: "SettledRepository") -> bool:
        """Whether both lead to the same actions."""
        return {name: model.key for name, model in self.models.items()} == {
            name: model.key for name, model in other.models.items()
        } and (self.undecided, self.awaited) == (other.undecided, other.awaited)


@dataclass(frozen=True, slots=True)
class _Sighting:
    key: str
    since_s: float


@dataclass(frozen=True, slots=True)
class _Absence:
    since_s: float
    scans: int


class Settling:
    """The memory between scans.

    A model has settled when two scans at least `settle_s` apart saw the same of it. On the first scan one is
    enough for a model whose files are older than that by the wall clock; on any, for one that is known to be
    complete.

    A model's removal counts when two scans at least `settle_s` apart did not see it. If more than half of
    two or more models went at once, three scans over two scan intervals are asked for. It never counts
    while the repository it was in cannot be read, nor while that is empty, except where the same directory
    as before has lost its only model: an empty one is far more often an unmounted disk than a wish.
    """

    def __init__(self, settle_s: float, scan_interval_s: float) -> None:
        self._settle_s = settle_s
        self._scan_interval_s = scan_interval_s
        self._first = True
        self._sightings: dict[str, _Sighting] = {}
        self._known: dict[str, ModelFiles] = {}
        """Every model that has settled once and is not known to be gone, as it was when it last settled."""
        self._absences: dict[str, _Absence] = {}
        self._homes: dict[Path, tuple[int, int] | None] = {}
        """Which directory each root was when models were last seen in it."""

    def changing(
        self, now_s: float, snapshot: RepositorySnapshot, *, wall_ns: int
    ) -> list[tuple[ModelFiles, ModelFiles | None]]:
        """The models that `feed` would leave undecided for a change, and how each was when it last settled:
        what it is worth looking into. Changes nothing."""
        return [
            (model, self._known.get(name))
            for name, model in snapshot.models.items()
            if not self._is_known(model) and not self._has_settled(now_s, model, wall_ns)
        ]

    def feed(
        self,
        now_s: float,
        snapshot: RepositorySnapshot,
        *,
        wall_ns: int,
        complete: Collection[str] = (),
    ) -> SettledRepository:
        """Take in one scan. `now_s` is monotonic and rises; `wall_ns` is time.time_ns(); `complete` are the
        models whose files are known to be all there."""
        looks: list[float] = []
        undecided: dict[str, str] = {}
        self._take_in_present(now_s, snapshot, wall_ns, complete, undecided, looks)
        self._take_in_absent(now_s, snapshot, undecided, looks)
        self._first = False
        models = {name: snapshot.models[name] for name in snapshot.models if name not in undecided}
        return SettledRepository(
            models=models,
            undecided=undecided,
            problems=(*snapshot.problems, *self._root_problems(snapshot)),
            look_again_s=min(looks, default=None),
            awaited=any(root.awaited for root in snapshot.roots.values()),
        )

    def _take_in_present(
        self,
        now_s: float,
        snapshot: RepositorySnapshot,
        wall_ns: int,
        complete: Collection[str],
        undecided: dict[str, str],
        looks: list[float],
    ) -> None:
        for name, model in snapshot.models.items():
            self._absences.pop(name, None)
            sighting = self._sightings.get(name)
            if sighting is None or sighting.key != model.key:
                sighting = self._sightings[name] = _Sighting(model.key, now_s)
            if name in complete or self._has_settled(now_s, model, wall_ns):
                self._known[name] = model
            elif not self._is_known(model):
                undecided[name] = "its files are still changing"
                looks.append(sighting.since_s + self._settle_s)
        for name in self._sightings.keys() - snapshot.models.keys():
            del self._sightings[name]

    def _has_settled(self, now_s: float, model: ModelFiles, wall_ns: int) -> bool:
        if self._first and wall_ns - model.newest_ns >= self._settle_s * 1e9:
            return True
        sighting = self._sightings.get(model.name)
        since_s = now_s if sighting is None or sighting.key != model.key else sighting.since_s
        return now_s - since_s >= self._settle_s

    def _is_known(self, model: ModelFiles) -> bool:
        known = self._known.get(model.name)
        return known is not None and known.key == model.key

    def _take_in_absent(
        self, now_s: float, snapshot: RepositorySnapshot, undecided: dict[str, str], looks: list[float]
    ) -> None:
        gone: list[str] = []
        for name in sorted(self._known.keys() - snapshot.models.keys()):
            if why := self._root_doubt(self._known[name].root, snapshot):
                self._absences.pop(name, None)
                undecided[name] = why
            else:
                gone.append(name)
        for path in {model.root for model in snapshot.models.values()}:
            self._homes[path] = snapshot.roots[path].identity
        mass = len(gone) >= MASS_REMOVAL_MODELS and len(gone) * 2 > len(self._known)
        scans, wait_s = (3, 2 * self._scan_interval_s) if mass else (2, self._settle_s)
        for name in gone:
            absence = self._absences.get(name, _Absence(now_s, 0))
            absence = self._absences[name] = _Absence(absence.since_s, absence.scans + 1)
            if absence.scans >= scans and now_s - absence.since_s >= wait_s:
                del self._known[name], self._absences[name]
            else:
                undecided[name] = "its directory is gone; waiting for a further scan to confirm it"
                looks.append(absence.since_s + wait_s)

    def _root_doubt(self, root: Path, snapshot: RepositorySnapshot) -> str:
        """Why the absence of a model from this root proves nothing; empty if it does."""
        state = snapshot.roots.get(root)
        if state is None:
            return ""
        if state.fault:
            return state.fault
        if any(model.root == root for model in snapshot.models.values()):
            return ""
        had = sum(model.root == root for model in self._known.values())
        if had > 1 or state.identity != self._homes.get(root):
            return "the repository is empty all at once; unload models by name if that is meant"
        return ""

    def _root_problems(self, snapshot: RepositorySnapshot) -> list[str]:
        problems = []
        for path, state in snapshot.roots.items():
            had = sum(model.root == path for model in self._known.values())
            doubt = state.fault or (self._root_doubt(path, snapshot) if had else "")
            if doubt and not state.awaited:
                keeping = f"; its {had} models keep serving" if had else ""
                problems.append(f"{path}: {doubt}{keeping}")
        return problems
