"""One prefix of one bucket, asked through obstore. The only file that knows the library."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from onnxd.repository.object_store.config import ObjectStoreConfig
from onnxd.repository.object_store.faults import StorageFault, UnsafeKey, told
from onnxd.repository.object_store.listing import Listing, RemoteObject
from onnxd.repository.object_store.url import ObjectUrl

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

_T = TypeVar("_T")
_CHUNK_BYTES: Final = 2**19
"""So little that a slow network brings it well within the timeout."""
_LIST_CHUNK: Final = 1000
_RETRIES: Final = 2
_LONGEST_S: Final = 86400
"""Of one download; it ends earlier when nothing comes."""
_END: Final = object()


class ObjectStorageUnavailable(Exception):
    """A repository lies in an object store, and the package that talks to it is not installed."""


class Bucket(Protocol):
    """What a repository needs of a store. Both raise StorageFault."""

    async def listing(self) -> Listing: ...

    async def fetch(self, wanted: RemoteObject, target: Path) -> None:
        """Write the object to a new file, exactly as it was listed, and to the disk."""


class RemoteBucket:
    """Opens nothing before it is asked; connections are the library's and end with it."""

    def __init__(self, url: ObjectUrl, config: ObjectStoreConfig) -> None:
        """Raises ObjectStorageUnavailable, and StorageFault for settings that the library refuses."""
        self._url = url
        self._config = config
        self._store = _store(url, config)

    async def listing(self) -> Listing:
        """Where one model has a key that can be no path, the others are listed in spite of it."""
        try:
            return Listing(await self._list(None))
        except UnsafeKey:
            return await self._list_apart()

    async def _list_apart(self) -> Listing:
        async with self._told():
            top = await self._within(self._store.list_with_delimiter_async())
        objects = [_read(each) for each in top["objects"]]
        if len(objects) + len(top["common_prefixes"]) > self._config.max_objects:
            raise self._too_many()
        unsafe: dict[str, str] = {}
        for prefix in sorted(top["common_prefixes"]):
            try:
                objects += await self._list(prefix)
            except UnsafeKey as error:
                unsafe[prefix.strip("/").split("/")[-1]] = error.message
            if len(objects) > self._config.max_objects:
                raise self._too_many()
        return Listing(objects, unsafe)

    async def _list(self, prefix: str | None) -> list[RemoteObject]:
        objects: list[RemoteObject] = []
        async with self._told():
            async for chunk in self._each(self._store.list(prefix, chunk_size=_LIST_CHUNK)):
                objects += (_read(each) for each in islice(chunk, self._config.max_objects + 1))
                if len(objects) > self._config.max_objects:
                    raise self._too_many()
        return objects

    def _too_many(self) -> StorageFault:
        return StorageFault(
            "too_many",
            f"{self._url} holds more than {self._config.max_objects} objects "
            "(setting object_store.max_objects)",
        )

    async def fetch(self, wanted: RemoteObject, target: Path) -> None:
        # The others write one ETag differently in listings and in answers: there the second listing must do.
        exact = self._url.scheme == "s3" and wanted.tag.startswith('"')
        options: Any = {"if_match": wanted.tag} if exact else {}
        async with self._told():
            answer = await self._within(self._store.get_async(wanted.key, options=options))
            got = _read(answer.meta)
            if got.size != wanted.size or (exact and got.tag != wanted.tag):
                raise self._changed(wanted)
            written = 0
            # Off the loop: it may be serving, and disks are slow.
            file = await asyncio.to_thread(target.open, "xb")
            try:
                async for chunk in self._each(answer.stream(min_chunk_size=_CHUNK_BYTES)):
                    written += len(chunk)
                    if written > wanted.size:
                        raise self._changed(wanted)
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(_sync, file)
            finally:
                await asyncio.to_thread(file.close)
            if written != wanted.size:
                raise self._changed(wanted)

    def _changed(self, wanted: RemoteObject) -> StorageFault:
        return StorageFault(
            "changed", f"{self._url}: the object {wanted.key!r} is not the one that was listed"
        )

    async def _within(self, asked: Any) -> Any:
        async with asyncio.timeout(self._config.timeout):
            return await asked

    async def _each(self, stream: Any) -> AsyncIterator[Any]:
        """A stream's items, none of which may keep us waiting for longer than the setting says."""
        items = aiter(stream)
        while (item := await self._within(anext(items, _END))) is not _END:
            yield item

    def _told(self) -> "_Told":
        return _Told(self._url)


class _Told:
    """Turns what the library raises into a StorageFault; the original is not chained, as it is printed with
    what it quotes."""

    def __init__(self, url: ObjectUrl) -> None:
        self._url = url

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, TimeoutError):
            raise StorageFault(
                "disk", f"{self._url}: what came cannot be written: {os.strerror(error.errno)}"
            ) from None
        # The library's errors are Exceptions of its own and builtin ones; all mean that it did not work.
        if isinstance(error, Exception) and not isinstance(error, StorageFault):
            raise told(self._url, error) from None


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _read(meta: Mapping[str, Any]) -> RemoteObject:
    tag = meta.get("e_tag") or f"{meta['last_modified'].isoformat()}/{meta.get('version') or ''}"
    return RemoteObject(meta["path"], meta["size"], tag)


def _store(url: ObjectUrl, config: ObjectStoreConfig) -> "AzureStore | GCSStore | S3Store":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise ObjectStorageUnavailable(
            f"the repository {url} lies in an object store, and the package obstore is not installed: "
            "pip install 'onnxd[object-storage]'"
        ) from error
    given: Any = {
        "prefix": url.prefix or None,
        "client_options": {
            "allow_http": config.allow_http,
            "connect_timeout": timedelta(seconds=min(config.timeout, 10.0)),
            "read_timeout": timedelta(seconds=config.timeout),
            "timeout": timedelta(seconds=_LONGEST_S),
        },
        "retry_config": {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=config.timeout),
        },
    }
    own: dict[str, Any] = {"skip_signature": True} if config.anonymous else {}
    try:
        match url.scheme:
            case "s3":
                if config.endpoint:
                    own["endpoint"] = config.endpoint
                if config.region:
                    own["region"] = config.region
                return S3Store(url.bucket, **given, **own)
            case "gs":
                if config.endpoint:
                    own["base_url"] = config.endpoint
                return GCSStore(url.bucket, **given, **own)
            case _:
                if config.endpoint:
                    own["endpoint"] = config.endpoint
                return AzureStore(url.bucket, **given, **own)
    except (BaseError, OSError, ValueError):
        raise StorageFault(
            "other",
            f"{url}: the settings of the store do not go together; see object_store.* and the provider's "
            "environment variables",
        ) from None
