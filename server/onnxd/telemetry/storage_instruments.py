"""The metrics of repositories that lie in object stores; a server without any has none of them."""

from collections.abc import Callable
from typing import Final

from onnxd.telemetry.instrument import Instrument, Kind, Number, Reading
from onnxd.telemetry.observation import Observation, StorageObservation


def _each(read: Callable[[StorageObservation], Number | None]) -> Callable[[Observation], Reading]:
    def reading(seen: Observation) -> Reading:
        values = {(each.repository,): read(each) for each in seen.storage}
        return {labels: value for labels, value in values.items() if value is not None}

    return reading


STORAGE_INSTRUMENTS: Final[tuple[Instrument[Observation], ...]] = (
    Instrument(
        "onnxd_object_store_objects", Kind.GAUGE, "objects",
        "Objects of the models in a repository that lies in an object store.",
        _each(lambda seen: seen.objects),
        labels=("repository",),
    ),
    Instrument(
        "onnxd_object_store_bytes", Kind.GAUGE, "bytes",
        "Size of these objects.",
        _each(lambda seen: seen.bytes),
        labels=("repository",),
    ),
    Instrument(
        "onnxd_object_store_looks_total", Kind.COUNTER, "looks",
        "Looks at the object store, those that failed included.",
        _each(lambda seen: seen.looks),
        labels=("repository",),
    ),
    Instrument(
        "onnxd_object_store_downloaded_bytes_total", Kind.COUNTER, "bytes",
        "Bytes of objects that were downloaded.",
        _each(lambda seen: seen.downloaded_bytes),
        labels=("repository",),
    ),
    Instrument(
        "onnxd_object_store_sync_age_seconds", Kind.GAUGE, "seconds",
        "Time since the object store was last looked at with success; not there before the first time.",
        _each(lambda seen: seen.age_s),
        labels=("repository",),
    ),
    Instrument(
        "onnxd_object_store_failures_total", Kind.COUNTER, "failures",
        "Looks at an object store, and downloads, that failed, by why.",
        lambda seen: {
            (each.repository, reason): count
            for each in seen.storage
            for reason, count in each.failures.items()
        },
        labels=("repository", "reason"),
    ),
)  # fmt: skip
