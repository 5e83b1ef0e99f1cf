"""Sends recorded requests again, when they came, and compares what is answered."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import uvloop

from onnxd.cli.answer_diff import Tolerance, differences
from onnxd.cli.measured import ServerSide, server_side
from onnxd.cli.remote import measuring_client, told
from onnxd.telemetry.record_reader import Entry
from onnxd.telemetry.records import BadRecord, Record
from onnxd_client import AsyncClient, ServerError

MOST_IN_FLIGHT: Final = 256
"""What is due beyond it waits, and is sent late."""
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Replay:
    """What is asked, and how."""

    url: str
    model: str
    version: int | None
    speed: float
    tolerance: Tolerance
    deadline_s: float


@dataclass(slots=True)
class Replayed:
    """What came of it."""

    same: int = 0
    different: int = 0
    uncompared: int = 0
    """Answered, where no answer was recorded."""
    mended: int = 0
    """Answered now, where it failed then."""
    failing: int = 0
    """Failed as then."""
    errors: Counter[str] = field(default_factory=Counter)
    """Of those that were answered then, and failed now."""
    unreadable: int = 0
    examples: list[str] = field(default_factory=list)
    then_s: "array[float]" = field(default_factory=lambda: array("d"))
    now_s: "array[float]" = field(default_factory=lambda: array("d"))
    """Of the same requests: within the server then, at this client now, from when they were due."""
    then_queue_s: float = 0.0
    then_compute_s: float = 0.0
    """Sums over those."""
    late_s: float = 0.0
    """At most: how long after it was due a request was sent."""
    server: ServerSide | None = None

    @property
    def differs(self) -> bool:
        """Whether the version answers otherwise than what was recorded, or nothing could be told."""
        told = self.same + self.uncompared + self.mended + self.failing
        return bool(self.different or self.errors or not told)

    def example(self, text: str) -> None:
        """Only the first ones are kept."""
        if len(self.examples) < _SHOWN:
            self.examples.append(text)


def replay(asked: Replay, entries: Sequence[Entry], advance: Callable[[], None]) -> Replayed:
    """`advance` is called after each. Raises Mistake and ClickException as `remote.connected` does."""
    with told(asked.url), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_replay(asked, entries, advance))


async def _replay(asked: Replay, entries: Sequence[Entry], advance: Callable[[], None]) -> Replayed:
    done = Replayed()
    async with measuring_client(asked.url, deadline_s=asked.deadline_s, connections=MOST_IN_FLIGHT) as client:
        before = await client.statistics(asked.model, asked.version)
        room = asyncio.Semaphore(MOST_IN_FLIGHT)
        start_s = time.perf_counter()
        async with asyncio.TaskGroup() as requests:
            for entry in entries:
                await room.acquire()
                due_s = start_s + (entry.arrived_ns - entries[0].arrived_ns) / 1e9 / asked.speed
                await asyncio.sleep(max(due_s - time.perf_counter(), 0.0))
                done.late_s = max(done.late_s, time.perf_counter() - due_s)
                requests.create_task(_one(client, asked, entry, due_s, done, room, advance))
        done.server = server_side(before, await client.statistics(asked.model, asked.version))
    return done


async def _one(
    client: AsyncClient,
    asked: Replay,
    entry: Entry,
    due_s: float,
    done: Replayed,
    room: asyncio.Semaphore,
    advance: Callable[[], None],
) -> None:
    try:
        record = entry.read()
        await _ask(client, asked, record, due_s, done)
    except BadRecord as error:
        done.unreadable += 1
        done.example(f"{entry.path.name} at byte {entry.offset}: {error}")
    finally:
        room.release()
        advance()


async def _ask(client: AsyncClient, asked: Replay, record: Record, due_s: float, done: Replayed) -> None:
    classes = {name: count for name, count in record.asked.items() if count}
    values = [name for name, count in record.asked.items() if not count]
    try:
        result = await client.infer(
            asked.model, record.inputs, version=asked.version, outputs=values or None, classes=classes
        )
    except ServerError as error:
        if record.error:
            done.failing += 1
            return
        done.errors[f"{type(error).__name__} ({error.status})" if error.status else type(error).__name__] += 1
        done.example(f"{_name(record)} failed: {error.message}")
        return
    if record.error:
        done.mended += 1
        return
    done.now_s.append(time.perf_counter() - due_s)
    done.then_s.append(record.total_ns / 1e9)
    done.then_queue_s += record.queue_ns / 1e9
    done.then_compute_s += record.compute_ns / 1e9
    if not record.outputs:
        done.uncompared += 1
        return
    found = list(differences(record.outputs, result.outputs, record.asked, asked.tolerance))
    if found:
        done.different += 1
        done.example(
            f"{_name(record)}: " + "; ".join(f"output '{each.output}' {each.text}" for each in found)
        )
    else:
        done.same += 1


def _name(record: Record) -> str:
    came = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(record.arrived_ns / 1e9))
    return f"the request of {came}.{record.arrived_ns // 1000 % 1_000_000:06d} UTC"
