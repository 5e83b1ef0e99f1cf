"""The private copies: what is copied, when it is refused, and that nothing is left behind."""

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.layout import ModelFiles, scan
from onnxd.repository.store import (
    SnapshotStore,
    StateDirectoryUnusable,
    Unsettled,
    default_state_dir,
)


def put(path: Path, content: bytes = b"model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def store(state_dir: Path) -> Iterator[SnapshotStore]:
    with SnapshotStore(state_dir) as store:
        yield store


def digits(root: Path) -> ModelFiles:
    return scan([root]).models["digits"]


def kept(state_dir: Path) -> list[str]:
    return sorted(os.listdir(state_dir / "snapshots"))


def test_a_version_is_copied_with_everything_in_it(root: Path, store: SnapshotStore) -> None:
    put(root / "digits/1/model.onnx", b"graph")
    put(root / "digits/1/weights/a.bin", b"12345678")
    put(root / "digits/1/model.onnx~", b"left by an editor")
    put(root / "digits/2/model.onnx", b"another version")

    stored = store.take(digits(root), 1)

    files = {path.relative_to(stored.path).as_posix() for path in stored.path.rglob("*") if path.is_file()}
    assert files == {"model.onnx", "weights/a.bin"}
    assert (stored.path / "weights/a.bin").read_bytes() == b"12345678"
    assert stored.size_bytes == 13


def test_a_copy_does_not_change_with_its_source(root: Path, store: SnapshotStore) -> None:
    source = put(root / "digits/1/model.onnx", b"before")
    stored = store.take(digits(root), 1)

    source.write_bytes(b"after!")

    assert (stored.path / "model.onnx").read_bytes() == b"before"


def test_a_file_larger_than_one_read_is_copied_whole(root: Path, store: SnapshotStore) -> None:
    content = os.urandom(2 * 2**20 + 17)
    put(root / "digits/1/model.onnx", content)

    stored = store.take(digits(root), 1)

    assert (stored.path / "model.onnx").read_bytes() == content


def test_blocks_are_shared_where_the_file_system_can(
    root: Path, store: SnapshotStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "digits/1/model.onnx", b"graph")
    plain = store.take(digits(root), 1)
    shared: list[int] = []

    def share(target: int, request: int, source: int) -> int:
        """What btrfs and XFS do, by other means."""
        assert request == 0x40049409
        shared.append(os.pwrite(target, os.pread(source, 100, 0), 0))
        return 0

    store.release(plain)
    monkeypatch.setattr(fcntl, "ioctl", share)
    cloned = store.take(digits(root), 1)

    assert shared == [5]
    assert cloned == plain
    assert (cloned.path / "model.onnx").read_bytes() == b"graph"


def test_what_lies_behind_links_is_copied_as_files(root: Path, store: SnapshotStore, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/model.onnx", b"linked")
    (root / "digits").mkdir()
    (root / "digits/1").symlink_to(tmp_path / "elsewhere")

    stored = store.take(digits(root), 1)

    assert not (stored.path / "model.onnx").is_symlink()
    assert (stored.path / "model.onnx").read_bytes() == b"linked"


def test_the_settings_are_copied_apart_from_the_versions(root: Path, store: SnapshotStore) -> None:
    put(root / "digits/model.onnx")
    put(root / "digits/config.yaml", b"versions: all\n")
    put(root / "digits/labels.txt")
    model = digits(root)

    settings, version = store.take_settings(model), store.take(model, 1)

    assert sorted(os.listdir(settings.path)) == ["config.yaml", "labels.txt"]
    assert sorted(os.listdir(version.path)) == ["labels.txt", "model.onnx"]


def test_a_model_without_settings_has_an_empty_copy_of_them(root: Path, store: SnapshotStore) -> None:
    put(root / "digits/1/model.onnx")

    assert os.listdir(store.take_settings(digits(root)).path) == []


def test_equal_content_is_one_copy_that_lives_until_its_last_release(
    root: Path, store: SnapshotStore, state_dir: Path
) -> None:
    put(root / "digits/1/model.onnx", b"same")
    put(root / "digits/2/model.onnx", b"same")
    model = digits(root)

    first, second = store.take(model, 1), store.take(model, 2)

    assert first == second
    store.release(first)
    assert kept(state_dir) == [second.digest]
    store.release(second)
    assert kept(state_dir) == []


def test_content_that_was_released_can_be_taken_again(root: Path, store: SnapshotStore) -> None:
    put(root / "digits/1/model.onnx", b"same")
    store.release(store.take(digits(root), 1))

    assert (store.take(digits(root), 1).path / "model.onnx").read_bytes() == b"same"


@pytest.mark.parametrize(
    "files",
    [
        {"model.onnx": b"other"},
        {"model2.onnx": b"graph"},
        {"model.onnx": b"graph", "empty": b""},
        {"model.onn": b"xgraph"},
    ],
    ids=["other bytes", "other name", "one more file", "a byte moved from the name to the content"],
)
def test_the_digest_tells_sets_of_files_apart(
    root: Path, store: SnapshotStore, files: dict[str, bytes]
) -> None:
    put(root / "digits/1/model.onnx", b"graph")
    for name, content in files.items():
        put(root / "digits/2" / name, content)
    model = digits(root)

    assert store.take(model, 1).digest != store.take(model, 2).digest


def rewrite(version: Path) -> None:
    (version / "model.onnx").write_bytes(b"a longer model")


def truncate(version: Path) -> None:
    os.truncate(version / "model.onnx", 1)


def replace(version: Path) -> None:
    put(version.parent / "new").rename(version / "model.onnx")


def add(version: Path) -> None:
    put(version / "more.bin")


def remove(version: Path) -> None:
    (version / "model.onnx").unlink()


def remove_all(version: Path) -> None:
    shutil.rmtree(version)


def put_a_pipe(version: Path) -> None:
    (version / "model.onnx").unlink()
    os.mkfifo(version / "model.onnx")


@pytest.mark.timeout(5)
@pytest.mark.parametrize("change", [rewrite, truncate, replace, add, remove, remove_all, put_a_pipe])
def test_files_that_changed_since_the_scan_are_unsettled_and_leave_no_copy(
    root: Path, store: SnapshotStore, state_dir: Path, change: Callable[[Path], None]
) -> None:
    put(root / "digits/1/model.onnx")
    model = digits(root)
    change(root / "digits/1")

    with pytest.raises(Unsettled, match=r"version 1 of model 'digits' changed while it was copied"):
        store.take(model, 1)

    assert kept(state_dir) == []


def test_a_change_in_another_version_does_not_matter(root: Path, store: SnapshotStore) -> None:
    put(root / "digits/1/model.onnx", b"one")
    put(root / "digits/2/model.onnx", b"two")
    model = digits(root)
    rewrite(root / "digits/2")

    assert store.take(model, 1).size_bytes == 3


def test_a_version_with_a_problem_is_refused_with_it(root: Path, store: SnapshotStore) -> None:
    put(root / "digits/1/labels.txt")
    os.mkfifo(root / "digits/1/model.onnx")

    with pytest.raises(LoadFailed, match=r"'model\.onnx' is not a regular file") as caught:
        store.take(digits(root), 1)

    assert not isinstance(caught.value, Unsettled)


def test_a_full_disk_is_named_and_leaves_nothing_half_copied(
    root: Path, store: SnapshotStore, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / "digits/1/model.onnx")
    model = digits(root)
    taken = store.take_settings(model)

    def full(descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LoadFailed, match="No space left on device") as caught:
        store.take(model, 1)

    assert str(state_dir) not in caught.value.message
    assert kept(state_dir) == [taken.digest]


def test_many_threads_taking_the_same_content_share_one_copy(
    root: Path, store: SnapshotStore, state_dir: Path
) -> None:
    put(root / "digits/1/model.onnx", b"x" * 100_000)
    model = digits(root)
    failures: list[BaseException] = []

    def take_and_release() -> None:
        try:
            for _ in range(5):
                stored = store.take(model, 1)
                assert (stored.path / "model.onnx").stat().st_size == 100_000
                store.release(stored)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=take_and_release) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert kept(state_dir) == []


def test_the_copies_are_for_the_server_alone(root: Path, store: SnapshotStore, state_dir: Path) -> None:
    put(root / "digits/1/model.onnx")
    stored = store.take(digits(root), 1)

    modes = [path.stat().st_mode & 0o777 for path in (state_dir, state_dir / "snapshots", stored.path)]
    assert modes == [0o700] * 3
    assert (stored.path / "model.onnx").stat().st_mode & 0o077 == 0


def test_what_a_server_that_died_left_behind_is_removed_at_the_next_start(state_dir: Path) -> None:
    put(state_dir / "snapshots" / ("0" * 64) / "model.onnx")
    put(state_dir / "snapshots/.partial-abc/model.onnx")
    put(state_dir / "snapshots/notes.txt")
    put(state_dir / "keys/key")

    with SnapshotStore(state_dir):
        assert kept(state_dir) == ["notes.txt"]

    assert (state_dir / "keys/key").exists()


def test_closing_removes_the_copies(root: Path, state_dir: Path) -> None:
    put(root / "digits/1/model.onnx")
    with SnapshotStore(state_dir) as store:
        store.take(digits(root), 1)

    assert kept(state_dir) == []


def test_a_load_that_outlives_the_store_fails_and_leaves_no_copy(root: Path, state_dir: Path) -> None:
    put(root / "digits/1/model.onnx")
    with SnapshotStore(state_dir) as store:
        stored = store.take(digits(root), 1)

    with pytest.raises(LoadFailed, match="shutting down"):
        store.take(digits(root), 1)
    store.release(stored)

    assert kept(state_dir) == []


def test_two_servers_cannot_share_a_state_directory(store: SnapshotStore, state_dir: Path) -> None:
    with (
        pytest.raises(StateDirectoryUnusable, match=rf"in use by another onnxd \(process {os.getpid()}\)"),
        SnapshotStore(state_dir),
    ):
        pass


def test_a_state_directory_can_be_used_again_after_its_server(state_dir: Path) -> None:
    for _ in range(2):
        with SnapshotStore(state_dir):
            pass


def test_a_state_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    put(tmp_path / "file")

    with pytest.raises(StateDirectoryUnusable, match="--state-dir"), SnapshotStore(tmp_path / "file/state"):
        pass


def test_a_link_in_place_of_the_snapshots_is_not_followed(tmp_path: Path, state_dir: Path) -> None:
    put(tmp_path / "elsewhere" / ("0" * 64) / "precious")
    state_dir.mkdir()
    (state_dir / "snapshots").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StateDirectoryUnusable, match="is a link"), SnapshotStore(state_dir):
        pass

    assert (tmp_path / "elsewhere" / ("0" * 64) / "precious").exists()


@pytest.mark.parametrize(
    ("configured", "expected"),
    [("/var/state", "/var/state/onnxd"), ("", "/home/ada/.local/state/onnxd"), ("relative", None)],
    ids=["as configured", "in the home", "a relative path does not count"],
)
def test_the_default_state_directory(
    monkeypatch: pytest.MonkeyPatch, configured: str, expected: str | None
) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_STATE_HOME", configured)

    assert default_state_dir() == Path(expected or "/home/ada/.local/state/onnxd")


def test_files_from_the_network_are_kept_like_copies(store: SnapshotStore, state_dir: Path) -> None:
    stored = store.put("it", {"model.onnx": b"graph", "a.bin": b""})
    assert {path.name: path.read_bytes() for path in stored.path.iterdir()} == {
        "model.onnx": b"graph",
        "a.bin": b"",
    }
    assert stored.size_bytes == 5
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in stored.path.iterdir())
    store.release(stored)
    assert kept(state_dir) == []


def test_files_from_the_network_and_copies_of_the_same_content_are_one(
    root: Path, store: SnapshotStore, state_dir: Path
) -> None:
    put(root / "digits/1/model.onnx", b"graph")
    put(root / "digits/1/a.bin", b"weights")
    taken = store.take(digits(root), 1)
    given = store.put("it", {"model.onnx": b"graph", "a.bin": b"weights"})
    assert taken == given
    store.release(taken)
    assert kept(state_dir) == [given.digest]


def test_a_full_disk_refuses_files_from_the_network_and_keeps_nothing(
    store: SnapshotStore, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LoadFailed, match="it cannot be written into the server's state directory: No space"):
        store.put("it", {"model.onnx": b"graph"})
    assert kept(state_dir) == []
