"""What a scrape is answered with."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from onnxd.telemetry.exposition import exposition
from onnxd.telemetry.machine import MachineMeter, read_process
from onnxd.telemetry.observation import Observation


class Metrics:
    """The text of the metrics, over and over. For the loop's thread.

    Observing the server is quick and happens on the loop, which owns the counters; the text is written on a
    thread, one at a time, so that scrapers who ask often hold up each other and nobody else.
    """

    def __init__(self, observe: Callable[[], Observation]) -> None:
        """`observe` says what the server has done; process and machine are added here."""
        self._observe = observe
        self._meter = MachineMeter()
        self._writing = asyncio.Lock()

    async def text(self) -> bytes:
        """The metrics now, in Prometheus' text format."""
        async with self._writing:
            return await asyncio.to_thread(self._write, self._observe())

    def _write(self, seen: Observation) -> bytes:
        return exposition(replace(seen, process=read_process(), machine=self._meter.read()))
