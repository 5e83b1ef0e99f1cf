"""When the watcher scans and what it tells: first in a time that the test holds, then on a real disk."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from onnxd.repository.layout import ModelFiles, RepositorySnapshot
from onnxd.repository.settle import SettledRepository
from onnxd.repository.tree import Directory
from onnxd.repository.watcher import WatchConfig, Watcher
from tests.support.snapshots import ROOT, model_files, snapshot

DEADLINE_S = 20.0
"""Only to fail: nothing here takes as long."""


class World:
    """A disk with a schedule, the clock it runs by, and a kernel that may notice changes."""

    def __init__(
        self, changes: Mapping[float, Sequence[ModelFiles]], *, until_s: float, notices: bool
    ) -> None:
        self._changes = changes
        self._until_s = until_s
        self._notices = notices
        self._now_s = 0.0
        self._over = asyncio.Event()
        self.scanned_s: list[float] = []
        self.told: list[tuple[float, list[str], list[str]]] = []

    # The disk.

    def scan(self, roots: Sequence[Path]) -> RepositorySnapshot:
        assert roots == (ROOT,)
        self.scanned_s.append(self._now_s)
        return snapshot(self._changes[max(at_s for at_s in self._changes if at_s <= self._now_s)])

    # The clock.

    def monotonic_s(self) -> float:
        return self._now_s

    def wall_ns(self) -> int:
        return 10**18

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        wake_s = self._now_s + seconds
        noticed = [at_s for at_s in self._changes if self._notices and self._now_s < at_s <= wake_s]
        if noticed:
            event.set()
        self._now_s = min(noticed, default=wake_s)
        if self._now_s > self._until_s:
            self._over.set()
            await asyncio.Event().wait()

    # The kernel; its notices are given by `wait`.

    async def run(self, roots: Sequence[Path], notice: Callable[[], None]) -> None:
        await asyncio.Event().wait()

    def watch(self, directories: frozenset[Directory]) -> None:
        pass

    # What the test does with them.

    async def play(self) -> None:
        def tell(settled: SettledRepository) -> None:
            names = [f"{name}:{model.key}" for name, model in settled.models.items()]
            self.told.append((self._now_s, names, sorted(settled.undecided)))

        config = WatchConfig(scan_interval=5.0, settle=0.5, polling=not self._notices)
        await self.run_until_over(Watcher([ROOT], config, scan=self.scan, hints=self, clock=self), tell)

    async def run_until_over(
        self, watcher: Watcher, tell: Callable[[SettledRepository], None] = lambda settled: None
    ) -> None:
        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(watcher.run(tell))
            await self._over.wait()
            task.cancel()


async def test_what_is_there_at_the_start_is_told_at_once_and_only_once() -> None:
    world = World({0.0: [model_files("digits")]}, until_s=30.0, notices=False)

    await world.play()

    assert world.told == [(0.0, ["digits:first"], [])]
    assert world.scanned_s == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0]


async def test_an_empty_repository_is_told_too() -> None:
    world = World({0.0: []}, until_s=1.0, notices=False)

    await world.play()

    assert world.told == [(0.0, [], [])]


async def test_without_notices_a_change_is_seen_by_the_next_scan_and_settles() -> None:
    changes = {0.0: [model_files("digits", "a")], 6.0: [model_files("digits", "b")]}
    world = World(changes, until_s=20.0, notices=False)

    await world.play()

    assert world.told == [
        (0.0, ["digits:a"], []),
        (10.0, [], ["digits"]),
        (10.5, ["digits:b"], []),
    ]


async def test_a_notice_brings_the_scan_forward() -> None:
    changes = {0.0: [model_files("digits", "a")], 6.0: [model_files("digits", "b")]}
    world = World(changes, until_s=20.0, notices=True)

    await world.play()

    assert world.told[1:] == [(6.0, [], ["digits"]), (6.5, ["digits:b"], [])]


async def test_a_file_that_is_written_slowly_is_told_once_it_is_whole() -> None:
    changes = {step * 0.25: [model_files("digits", f"{step}")] for step in range(1, 41)}
    world = World({0.0: [], **changes}, until_s=20.0, notices=True)

    await world.play()

    assert world.told == [(0.0, [], []), (0.25, [], ["digits"]), (10.5, ["digits:40"], [])]


async def test_a_removal_is_told_after_a_second_scan() -> None:
    both = [model_files("digits"), model_files("language")]
    world = World({0.0: both, 7.0: both[:1]}, until_s=20.0, notices=True)

    await world.play()

    assert world.told[1:] == [(7.0, ["digits:first"], ["language"]), (7.5, ["digits:first"], [])]


async def test_the_callback_may_be_a_coroutine_and_its_failure_ends_the_watcher() -> None:
    world = World({0.0: []}, until_s=1.0, notices=False)

    async def fail(settled: SettledRepository) -> None:
        raise LookupError("a bug of ours")

    watcher = Watcher([ROOT], WatchConfig(), scan=world.scan, hints=world, clock=world)
    with pytest.raises(ExceptionGroup) as caught:
        await watcher.run(fail)

    assert caught.group_contains(LookupError, match="a bug of ours")


async def test_a_problem_is_logged_when_it_appears_and_not_with_each_scan() -> None:
    world = World({0.0: []}, until_s=20.0, notices=False)
    broken = {at_s: snapshot(faults={ROOT: "away"}) for at_s in (5.0, 10.0, 20.0)}
    watcher = Watcher(
        [ROOT],
        WatchConfig(polling=True),
        scan=lambda roots: broken.get(world.monotonic_s(), snapshot()),
        clock=world,
    )

    with structlog.testing.capture_logs() as logs:
        await world.run_until_over(watcher)

    assert [entry["problem"] for entry in logs] == ["models: away", "models: away"]


# From here on the disk, the clock and the kernel are real.


def put(path: Path, content: bytes = b"model") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def sizes(settled: SettledRepository) -> dict[str, list[int]]:
    return {
        name: [stamp.size for version in model.versions.values() for stamp in version.fingerprint]
        for name, model in settled.models.items()
    }


class Told:
    """What a running watcher has told, for a test that waits for something."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[SettledRepository] = asyncio.Queue()

    def __call__(self, settled: SettledRepository) -> None:
        self._queue.put_nowait(settled)

    async def until(self, expected: dict[str, list[int]]) -> None:
        """Wait for a settled repository with these models and the sizes of their files."""
        seen: list[object] = []
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not seen or seen[-1] != expected:
                    seen.append(sizes(await self._queue.get()))
        except TimeoutError:
            pytest.fail(f"expected {expected}, was told {seen}")


@asynccontextmanager
async def watching(
    root: Path, *, scan_interval: float = 3600.0, settle: float = 0.05, polling: bool = False
) -> AsyncIterator[Told]:
    """By default the regular scan is so rare that only a notice can bring a change in time."""
    told = Told()
    watcher = Watcher([root], WatchConfig(scan_interval=scan_interval, settle=settle, polling=polling))
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watcher.run(told))
        yield told
        task.cancel()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


async def test_a_model_appears_changes_and_goes(root: Path) -> None:
    put(root / "language/1/model.onnx", b"1")
    put(root / "digits/1/model.onnx", b"1")
    async with watching(root) as told:
        await told.until({"digits": [1], "language": [1]})

        put(root / "vision/1/model.onnx", b"12")
        await told.until({"digits": [1], "language": [1], "vision": [2]})

        put(root / "vision/2/model.onnx", b"123")
        await told.until({"digits": [1], "language": [1], "vision": [2, 3]})

        put(root / "vision/2/model.onnx", b"1234")
        await told.until({"digits": [1], "language": [1], "vision": [2, 4]})

        shutil.rmtree(root / "vision")
        await told.until({"digits": [1], "language": [1]})


async def test_a_model_that_is_published_by_rename_under_an_old_name_is_watched_anew(root: Path) -> None:
    put(root / "language/1/model.onnx", b"1")
    put(root / "digits/1/model.onnx", b"1")
    async with watching(root) as told:
        await told.until({"digits": [1], "language": [1]})

        put(root / "digits.tmp/1/model.onnx", b"12")
        (root / "digits").rename(root / "digits.part")
        (root / "digits.tmp").rename(root / "digits")
        await told.until({"digits": [2], "language": [1]})

        put(root / "digits/1/model.onnx", b"123")
        await told.until({"digits": [3], "language": [1]})


async def test_what_is_written_behind_a_swapped_link_of_a_kubernetes_volume_is_noticed(root: Path) -> None:
    put(root / "digits/..first/model.onnx", b"1")
    (root / "digits/..data").symlink_to("..first")
    (root / "digits/1").symlink_to("..data")
    async with watching(root) as told:
        await told.until({"digits": [1]})

        put(root / "digits/..second/model.onnx", b"12")
        (root / "digits/..data_tmp").symlink_to("..second")
        (root / "digits/..data_tmp").rename(root / "digits/..data")
        await told.until({"digits": [2]})

        put(root / "digits/..second/model.onnx", b"123")
        await told.until({"digits": [3]})


async def test_a_root_that_is_a_link_is_followed_when_it_is_swapped(tmp_path: Path) -> None:
    put(tmp_path / "blue/digits/1/model.onnx", b"1")
    put(tmp_path / "green/digits/1/model.onnx", b"12")
    root = tmp_path / "current"
    root.symlink_to("blue")
    async with watching(root) as told:
        await told.until({"digits": [1]})

        (tmp_path / "next").symlink_to("green")
        (tmp_path / "next").rename(root)
        await told.until({"digits": [2]})

        put(tmp_path / "green/digits/1/model.onnx", b"123")
        await told.until({"digits": [3]})


async def test_a_root_that_is_removed_and_made_again_is_watched_anew(root: Path) -> None:
    put(root / "digits/1/model.onnx", b"1")
    async with watching(root) as told:
        await told.until({"digits": [1]})

        shutil.rmtree(root)
        put(root / "digits/1/model.onnx", b"12")
        await told.until({"digits": [2]})

        put(root / "digits/1/model.onnx", b"123")
        await told.until({"digits": [3]})


async def test_a_root_that_does_not_exist_yet_is_noticed_when_it_comes(tmp_path: Path) -> None:
    async with watching(tmp_path / "models") as told:
        await told.until({})

        put(tmp_path / "models/digits/1/model.onnx", b"1")
        await told.until({"digits": [1]})


async def test_polling_alone_sees_every_change(root: Path) -> None:
    put(root / "digits/1/model.onnx", b"1")
    async with watching(root, scan_interval=0.05, settle=0.01, polling=True) as told:
        await told.until({"digits": [1]})

        put(root / "digits/1/model.onnx", b"12")
        await told.until({"digits": [2]})


async def test_without_kernel_watches_the_scans_go_on_with_one_warning(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "OS file watch limit reached")

    monkeypatch.setattr("onnxd.repository.hints.RustNotify", refuse)
    put(root / "digits/1/model.onnx", b"1")
    with structlog.testing.capture_logs() as logs:
        async with watching(root, scan_interval=0.05) as told:
            await told.until({"digits": [1]})
            put(root / "language/1/model.onnx", b"12")
            await told.until({"digits": [1], "language": [2]})
            put(root / "vision/1/model.onnx", b"123")
            await told.until({"digits": [1], "language": [2], "vision": [3]})

    assert [entry["event"] for entry in logs] == ["no notices of file changes; relying on the regular scan"]
