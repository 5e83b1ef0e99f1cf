"""One look after the other at a store in memory: what is taken, what waits, and what stays."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.faults import StorageFault
from onnxd.repository.object_store.listing import Listing, RemoteObject
from onnxd.repository.object_store.mirror import Mirror
from onnxd.repository.object_store.roots import RemoteRoots
from onnxd.repository.object_store.sync import Sync
from onnxd.repository.object_store.url import ObjectUrl

URL = ObjectUrl("s3", "models", "a")


@dataclass
class MemoryBucket:
    """Objects by key; their content is their ETag."""

    objects: dict[str, str]
    fault: StorageFault | None = None
    meanwhile: Callable[[str], None] = lambda key: None
    """Called with the key of an object that has just been fetched."""
    fetched: list[str] = field(default_factory=list)
    together: asyncio.Barrier | None = None
    """No fetch ends before so many have begun."""
    at_once: int = 0
    most_at_once: int = 0

    async def listing(self) -> Listing:
        if self.fault is not None:
            raise self.fault
        return Listing([RemoteObject(key, len(text), text) for key, text in self.objects.items()])

    async def fetch(self, wanted: RemoteObject, target: Path) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.together is not None:
            await self.together.wait()
        self.at_once -= 1
        if self.objects.get(wanted.key) != wanted.tag:
            raise StorageFault("changed", "another by now")
        self.fetched.append(wanted.key)
        await asyncio.to_thread(target.write_text, wanted.tag)
        self.meanwhile(wanted.key)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    with Mirror(tmp_path / "copy") as opened:
        yield opened


def sync_of(bucket: MemoryBucket, mirror: Mirror) -> Sync:
    config = ObjectStoreConfig(poll_interval=30.0, settle=0.0, parallel_downloads=2)
    return Sync(URL, bucket, mirror, config)


def shown(mirror: Mirror) -> dict[str, str]:
    """The content of every file that a scan would come to."""
    files = {}
    for name in mirror.local():
        top = (mirror.directory / name).resolve()
        for path in sorted(top.rglob("*")):
            if path.is_file():
                files[f"{name}/{path.relative_to(top)}"] = path.read_text()
    return files


async def test_a_look_brings_what_is_there_and_the_next_is_due_after_the_interval(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one", "b/1/x": "two"})
    sync = sync_of(bucket, mirror)

    assert await sync.look() == 30.0
    assert shown(mirror) == {"a/1/x": "one", "b/1/x": "two"}
    assert sync.arrived.is_set()
    assert (sync.trouble, sync.waiting) == ("", {})


async def test_what_is_here_is_not_fetched_again(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one", "a/1/y": "two"})
    sync = sync_of(bucket, mirror)
    await sync.look()
    bucket.objects["a/1/y"] = "three"
    await sync.look()
    await sync.look()

    assert sorted(bucket.fetched) == ["a/1/x", "a/1/y", "a/1/y"]  # the first two go side by side
    assert sync.observe().downloaded_bytes == len("onetwothree")


async def test_a_model_that_changes_while_it_is_fetched_waits_and_the_others_do_not(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one", "b/1/x": "two"})

    def arrive(key: str) -> None:
        bucket.objects["a/config.yaml"] = "more"

    bucket.meanwhile = arrive
    sync = sync_of(bucket, mirror)
    soon_s = await sync.look()

    assert soon_s < 30.0
    assert shown(mirror) == {"b/1/x": "two"}
    assert sync.waiting == {"a": "its objects are still changing in the object store"}

    await sync.look()
    assert shown(mirror) == {"a/1/x": "one", "a/config.yaml": "more", "b/1/x": "two"}
    assert bucket.fetched.count("a/1/x") == 1


async def test_a_model_whose_object_is_replaced_before_it_is_fetched_is_left_as_it_was(
    mirror: Mirror,
) -> None:
    bucket = MemoryBucket({"a/1/x": "one", "a/1/y": "two"})
    sync = sync_of(bucket, mirror)
    await sync.look()
    bucket.objects |= {"a/1/x": "three", "a/1/y": "four"}

    def replace(key: str) -> None:
        bucket.objects |= {"a/1/x": "five", "a/1/y": "five"}

    bucket.meanwhile = replace
    await sync.look()

    assert shown(mirror) == {"a/1/x": "one", "a/1/y": "two"}
    assert list(sync.waiting) == ["a"]


async def test_when_the_store_fails_all_stays_and_the_next_look_comes_later_and_later(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one"})
    sync = sync_of(bucket, mirror)
    await sync.look()
    bucket.fault = StorageFault("unreachable", "it is away")

    assert [await sync.look() for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert shown(mirror) == {"a/1/x": "one"}
    assert sync.trouble == "it is away"
    assert sync.observe().failures["unreachable"] == 7

    bucket.fault = None
    assert await sync.look() == 30.0
    assert sync.trouble == ""


async def test_without_a_copy_a_store_that_fails_is_waited_for(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one"}, fault=StorageFault("credentials", "they are wrong"))
    sync = sync_of(bucket, mirror)
    await sync.look()

    assert not sync.arrived.is_set()
    assert sync.observe().age_s is None
    assert sync.observe().looks == 1


async def test_with_a_copy_from_before_a_store_that_fails_is_not_waited_for(mirror: Mirror) -> None:
    await sync_of(MemoryBucket({"a/1/x": "one"}), mirror).look()
    sync = sync_of(MemoryBucket({}, fault=StorageFault("unreachable", "it is away")), mirror)
    await sync.look()

    assert sync.arrived.is_set()


async def test_a_bucket_that_is_empty_all_at_once_takes_nothing_away(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one"})
    sync = sync_of(bucket, mirror)
    await sync.look()
    bucket.objects.clear()
    await sync.look()

    assert shown(mirror) == {"a/1/x": "one"}
    assert "empty all at once; its 1 models keep serving" in sync.trouble
    assert sync.observe().failures["emptied"] == 1


async def test_a_model_that_is_gone_goes_and_a_refused_one_stays_as_it_was(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one", "b/1/x": "one", "c/1/x": "one"})
    sync = sync_of(bucket, mirror)
    await sync.look()
    del bucket.objects["a/1/x"]
    bucket.objects["b/../../x"] = "evil"
    await sync.look()

    assert shown(mirror) == {"b/1/x": "one", "c/1/x": "one"}
    assert "a part of it is '..'" in sync.refused["b"]
    assert not list(mirror.directory.parent.glob("x"))


async def test_no_more_is_fetched_at_once_than_the_setting_says(mirror: Mirror) -> None:
    bucket = MemoryBucket({f"a/1/{number}": "one" for number in range(8)}, together=asyncio.Barrier(2))
    await sync_of(bucket, mirror).look()

    assert bucket.most_at_once == 2
    assert len(bucket.fetched) == 8


async def test_a_download_that_fails_ends_the_look_and_what_was_fetched_is_kept_for_the_next(
    mirror: Mirror,
) -> None:
    bucket = MemoryBucket({f"a/1/{number}": "one" for number in range(9)})

    def break_off(key: str) -> None:
        if len(bucket.fetched) >= 4:
            raise StorageFault("timeout", "it is silent")

    bucket.meanwhile = break_off
    sync = sync_of(bucket, mirror)
    await sync.look()

    assert shown(mirror) == {}
    assert sync.trouble == "it is silent"
    assert sync.waiting == {"a": "it is silent"}
    assert len(bucket.fetched) < 9

    bucket.meanwhile = lambda key: None
    bucket.fetched.clear()
    await sync.look()
    assert len(shown(mirror)) == 9
    assert len(bucket.fetched) < 9


async def test_a_model_of_which_one_object_cannot_be_had_does_not_hold_up_the_others(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one", "b/1/x": "two"})

    def deny(key: str) -> None:
        if key == "a/1/x":
            raise StorageFault("denied", "not permitted")

    bucket.meanwhile = deny
    sync = sync_of(bucket, mirror)

    assert await sync.look() == 30.0
    assert shown(mirror) == {"b/1/x": "two"}
    assert sync.waiting == {"a": "not permitted"}
    assert sync.observe().failures["denied"] == 1


async def test_a_disk_that_cannot_be_written_is_a_failure_like_another(mirror: Mirror) -> None:
    bucket = MemoryBucket({"a/1/x": "one"})

    def fill(key: str) -> None:
        raise OSError(28, "No space left on device")

    bucket.meanwhile = fill
    sync = sync_of(bucket, mirror)
    await sync.look()

    assert sync.observe().failures["disk"] == 1
    assert "No space left on device" in sync.trouble


async def test_a_server_without_urls_has_nothing_to_wait_for(tmp_path: Path) -> None:
    (tmp_path / "models/a/1").mkdir(parents=True)
    async with RemoteRoots((tmp_path / "models",), ObjectStoreConfig(), tmp_path / "objects") as roots:
        await roots.arrived()

        assert roots.directories == (tmp_path / "models",)
        assert list(roots.read(roots.directories).models) == ["a"]
        assert roots.awaited() == ""
        assert roots.observe() == ()
    assert not (tmp_path / "objects").exists()
