"""Copies that outlive the versions that were loaded from them."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.history import Generation, History
from onnxd.repository.layout import ModelFiles, scan
from onnxd.repository.loader import Loader
from onnxd.repository.store import NoRoom, SnapshotStore
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.thread_shares import ThreadBudget
from onnxd.runtime.trial import TrialRoom
from tests.support.files import put


@pytest.fixture
def model(tmp_path: Path) -> Path:
    put(tmp_path / "models/digits/1/model.onnx", b"graph")
    put(tmp_path / "models/digits/1/weights/a.bin", b"weights")
    put(tmp_path / "models/digits/config.yaml", b"")
    return tmp_path / "models/digits"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SnapshotStore]:
    with SnapshotStore(tmp_path / "state") as store:
        yield store


def seen(model: Path) -> ModelFiles:
    return scan([model.parent]).models["digits"]


def kept(tmp_path: Path) -> set[str]:
    return set(os.listdir(tmp_path / "state" / "snapshots"))


def serve(store: SnapshotStore, model: Path) -> Generation:
    """As a version that is loaded, remembered, and let go again."""
    settings, version = store.take_settings(seen(model)), store.take(seen(model), 1)
    generation = Generation(settings.digest, {1: version.digest})
    before = store.history("digits")
    store.remember("digits", before.loaded(generation) if before else History(generation))
    store.release(settings)
    store.release(version)
    return generation


def test_what_a_history_names_is_kept_beyond_its_last_release(
    model: Path, store: SnapshotStore, tmp_path: Path
) -> None:
    generation = serve(store, model)
    assert kept(tmp_path) == generation.digests
    held = store.hold(generation.versions[1])
    assert (held.path / "weights" / "a.bin").read_bytes() == b"weights"
    assert held.size_bytes == len(b"graph" + b"weights")
    store.release(held)
    assert kept(tmp_path) == generation.digests


def test_what_no_history_names_any_more_is_removed(model: Path, store: SnapshotStore, tmp_path: Path) -> None:
    generations = []
    for content in (b"first", b"second", b"third"):
        put(model / "1/model.onnx", content)
        generations.append(serve(store, model))
    assert kept(tmp_path) == generations[1].digests | generations[2].digests
    store.forget("digits")
    assert kept(tmp_path) == set()
    assert store.remembered() == ()


def test_what_is_still_held_is_removed_with_its_last_release(
    model: Path, store: SnapshotStore, tmp_path: Path
) -> None:
    generation = serve(store, model)
    held = store.hold(generation.versions[1])
    store.forget("digits")
    assert kept(tmp_path) == {held.digest}
    store.release(held)
    assert kept(tmp_path) == set()


def test_two_models_of_the_same_content_share_its_copy(
    model: Path, store: SnapshotStore, tmp_path: Path
) -> None:
    generation = serve(store, model)
    store.remember("twin", History(generation))
    store.forget("digits")
    assert kept(tmp_path) == generation.digests


def test_copies_and_history_outlive_the_server(model: Path, tmp_path: Path) -> None:
    with SnapshotStore(tmp_path / "state") as store:
        generation = serve(store, model)
        store.take(seen(model), 1)
    assert kept(tmp_path) == generation.digests
    with SnapshotStore(tmp_path / "state") as store:
        assert store.history("digits") == History(generation)
        store.release(store.hold(generation.settings))
        again = store.take(seen(model), 1)
        assert again.digest == generation.versions[1]
        store.release(again)
        assert kept(tmp_path) == generation.digests


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "gone"])
def test_a_copy_that_was_damaged_while_the_server_was_down_is_not_had(
    model: Path, tmp_path: Path, damage: str
) -> None:
    with SnapshotStore(tmp_path / "state") as store:
        generation = serve(store, model)
    copy = tmp_path / "state" / "snapshots" / generation.versions[1]
    if damage == "changed":
        (copy / "model.onnx").chmod(0o600)
        (copy / "model.onnx").write_bytes(b"graqh")
    elif damage == "missing":
        (copy / "model.onnx").unlink()
    elif damage == "added":
        put(copy / "more.bin")
    else:
        copy.rename(tmp_path / "elsewhere")
    with SnapshotStore(tmp_path / "state") as store:
        for _ in range(2):
            with pytest.raises(LoadFailed, match="the copy that was kept is gone or damaged"):
                store.hold(generation.versions[1])
        again = store.take(seen(model), 1)
        assert (again.path / "model.onnx").read_bytes() == b"graph"
        store.release(store.hold(generation.versions[1]))


def test_a_fresh_copy_replaces_one_that_nobody_has_looked_into(model: Path, tmp_path: Path) -> None:
    with SnapshotStore(tmp_path / "state") as store:
        generation = serve(store, model)
    copy = tmp_path / "state" / "snapshots" / generation.versions[1] / "model.onnx"
    copy.chmod(0o600)
    copy.write_bytes(b"damaged")
    with SnapshotStore(tmp_path / "state") as store:
        stored = store.take(seen(model), 1)
        assert (stored.path / "model.onnx").read_bytes() == b"graph"


def test_a_history_that_cannot_be_written_holds_until_the_server_stops(model: Path, tmp_path: Path) -> None:
    with SnapshotStore(tmp_path / "state") as store:
        (tmp_path / "state" / "history").write_text("in the way")
        generation = serve(store, model)
        assert store.history("digits") == History(generation)
        store.release(store.hold(generation.settings))


async def test_a_full_disk_gives_up_what_served_before_and_then_fails(
    model: Path, store: SnapshotStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(model / "1/model.onnx", b"first")
    first = serve(store, model)
    put(model / "1/model.onnx", b"second")
    second = serve(store, model)
    put(model / "1/model.onnx", b"third")
    written, room = os.write, True

    def full(descriptor: int, data: memoryview) -> int:
        """There is room for as long as the first copy is not there."""
        nonlocal room
        if not room or first.versions[1] in kept(tmp_path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    loader = Loader(store, TrialRoom(), ProcessRoom(), threads=ThreadBudget(1))
    third = await loader.store_version(seen(model), 1)
    assert (third.path / "model.onnx").read_bytes() == b"third"
    assert store.history("digits") == History(second)
    put(model / "1/model.onnx", b"fourth")
    room = False
    with pytest.raises(NoRoom, match="No space left on device"):
        await loader.store_version(seen(model), 1)
    assert store.history("digits") == History(second)
