"""Keeps a share of the requests, with their answers, on disk, to be run again: `onnxd replay`.

A request is never held up and never fails for it: what is to be written waits in bounded memory, a thread
writes it, and what finds no room is dropped and counted.
"""

import contextlib
import os
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import AfterValidator, Field

from onnxd.messages import InferRequest, InferResponse
from onnxd.telemetry.bulk_thread import BulkThread
from onnxd.telemetry.export_counts import RecordCounts
from onnxd.telemetry.records import Record, encode
from onnxd.telemetry.segment_ring import SegmentRing, TooLarge
from onnxd.tensors import Array
from onnxd.units import Bytes

MOST_WAITING: Final = 4096
MOST_WAITING_BYTES: Final = 64 * 2**20
"""Of tensors that wait for the disk; they are those of the requests, so that nothing is copied for it."""
_COLLECT_S: Final = 0.02
_RETRY_S: Final = 1.0
"""A disk that is full is asked again after this long, not for each record."""
_CLOSE_S: Final = 5.0

_log = structlog.get_logger(__name__)


def _bounded(value: int) -> int:
    if value < 1:
        raise ValueError(f"expected a size of at least 1B, such as '64MiB', got {value}")
    return value


BoundedBytes = Annotated[Bytes, AfterValidator(_bounded)]
"""A disk has an end: here -1 is not offered."""


class RecorderUnusable(OSError):
    """The recordings' directory cannot be written. For the operator at start-up."""


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """A ring of sampled requests on disk, for `onnxd replay`. They hold what clients sent."""

    share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Share of the requests that are recorded; 0 = none, and nothing is written."""
    directory: Path | None = None
    """Where the files are; unset = recordings in the state directory."""
    max_bytes: BoundedBytes = 256 * 2**20
    """Of all files together; the oldest go."""
    max_request: BoundedBytes = 16 * 2**20
    """Tensors of one request and its answer; larger ones are not recorded, but counted."""
    models: tuple[str, ...] = ()
    """Only these models; none named = all."""
    outputs: bool = True
    """Whether answers are recorded too, to be compared with later ones."""
    callers: bool = False
    """Whether the caller's name and the request's id are recorded."""


class Recorder:
    """A context manager: it takes requests while it is open, and has written them when it is closed."""

    def __init__(self, config: RecorderConfig, directory: Path, counts: RecordCounts) -> None:
        self._config = config
        self._models = frozenset(config.models)
        self._counts = counts
        self._most_bytes = min(config.max_request, config.max_bytes)
        self._ring = SegmentRing(directory, config.max_bytes)
        self._waiting: deque[tuple[Record, int]] = deque()
        self._taken_bytes = 0
        self._done_bytes = 0
        """Written by the loop's and by the writer's thread; the difference is what waits."""
        self._complained = False
        self._thread = BulkThread(self._write_all, collect_s=_COLLECT_S, name="onnxd-recorder", end=self._end)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop(_CLOSE_S)

    def wants(self, model: str) -> bool:
        """Whether this request is one of the share."""
        if self._models and model not in self._models:
            return False
        share = self._config.share
        # Which requests are recorded is no secret.
        return share >= 1.0 or random.random() < share  # noqa: S311

    def offer(self, request: InferRequest, response: InferResponse | None, error: str = "") -> None:
        """Have a request written that is over. Never blocks. The arrays must not change any more."""
        record = self._record(request, response, error)
        size = max(record.byte_size, request.byte_size)
        if size > self._most_bytes:
            self._counts.large_at_once += 1
            return
        held = sum(map(_held_bytes, (*record.inputs.values(), *record.outputs.values())))
        held = max(held, size)
        waiting = self._waiting
        if len(waiting) >= MOST_WAITING or self._taken_bytes - self._done_bytes + held > MOST_WAITING_BYTES:
            self._counts.dropped += 1
            return
        self._taken_bytes += held
        waiting.append((record, held))
        self._thread.tell()

    def _record(self, request: InferRequest, response: InferResponse | None, error: str) -> Record:
        timeline = request.timeline
        total_ns = time.monotonic_ns() - timeline.received_ns
        named = self._config.callers
        return Record(
            arrived_ns=time.time_ns() - total_ns,
            model=request.model_name,
            version=response.model_version if response else request.model_version or 0,
            inputs=dict(request.inputs),
            outputs=dict(response.outputs) if response and self._config.outputs else {},
            asked={output.name: output.classification for output in request.outputs},
            total_ns=total_ns,
            queue_ns=_between(timeline.queue_start_ns, timeline.compute_start_ns),
            compute_ns=_between(timeline.compute_start_ns, timeline.compute_end_ns),
            error=error,
            principal=request.principal.name if named else "",
            id=request.id if named else "",
        )

    # On the writer's thread.

    def _end(self) -> None:
        self._counts.failed += len(self._waiting)
        self._ring.close()

    def _write_all(self) -> None:
        written = 0
        try:
            while self._waiting:
                record, held = self._waiting.popleft()
                try:
                    written += self._write(record)
                finally:
                    self._done_bytes += held
            self._ring.flush()
        except OSError as error:
            # Some of this round may be on disk; how many, nobody knows.
            self._counts.failed += written + 1
            self._complain(error)
            self._thread.try_again(_RETRY_S)
            return
        self._complained = self._complained and not written
        self._counts.written += written

    def _write(self, record: Record) -> int:
        """How many were. Raises OSError."""
        try:
            parts = encode(record)
            if sum(map(len, parts)) > self._most_bytes + 2**20:
                raise TooLarge
            self._ring.append(parts)
        except TooLarge:
            self._counts.large_in_writing += 1
            return 0
        except OSError:
            raise
        except Exception as error:
            # A tensor that has no form on disk, whatever came of that: the next record is another's.
            self._counts.failed += 1
            self._complain(error)
            return 0
        return 1

    def _complain(self, error: Exception) -> None:
        """Once, until it works again."""
        if not self._complained:
            self._complained = True
            _log.warning("requests cannot be recorded", error=str(error) or type(error).__name__)


@contextlib.contextmanager
def open_recorder(config: RecorderConfig, state_dir: Path, counts: RecordCounts) -> Iterator[Recorder | None]:
    """None = nothing is to be recorded. Raises RecorderUnusable."""
    if not config.share:
        yield None
        return
    directory = config.directory or state_dir / "recordings"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(0, "no permission to write there")
    except OSError as error:
        raise RecorderUnusable(
            f"cannot record requests in {directory}: {error.strerror}; name another directory with "
            "--recorder-directory, or record none (--recorder-share 0)"
        ) from error
    with Recorder(config, directory, counts) as recorder:
        _log.info("recording requests", directory=str(directory), share=config.share)
        yield recorder


def _held_bytes(array: Array) -> int:
    """What this keeps in memory: of a part of a batch's output, the whole output."""
    base: object = array
    size = array.nbytes
    while (base := getattr(base, "base", None)) is not None:
        size = max(size, int(getattr(base, "nbytes", 0)))
    return size


def _between(start_ns: int, end_ns: int) -> int:
    return end_ns - start_ns if start_ns and end_ns else 0
