"""What a scrape is answered with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from onnxd.telemetry.machine import MachineMeter, read_process
from onnxd.telemetry.observation import Observation


class Metrics:
    """The text of the metrics, over and over. For the loop's thread.

    Observing the server is quick and happens on the loop, which owns the counters; the text is written on a
    thread. Only one text of each form is written at a time, however many ask and however many of those do not
    wait for it.
    """

    def __init__(
        self,
        observe: Callable[[], Observation],
        gather: Callable[[], Awaitable[Observation]] | None = None,
    ) -> None:
        """`observe` says what this process has done; process and machine are added here. `gather` says that
        of all workers together, what they use included; None = there are none but this process."""
        self._observe = observe
        self._gather = gather
        self._turn = asyncio.Lock()
        self._meter = MachineMeter()
        self._writing: dict[bool, asyncio.Future[bytes]] = {}
        """By whether it is OpenMetrics."""

    async def text(self, *, openmetrics: bool = False) -> bytes:
        """The metrics in Prometheus' text format or in OpenMetrics, observed after this was called."""
        if self._gather is not None:
            async with self._turn:
                gathered = await self._gather()
                return await asyncio.to_thread(_written_out, gathered, openmetrics)
        before = self._writing.get(openmetrics)
        if before is not None:
            # That text may be older than what the caller knows of. All who come now share the next one.
            await asyncio.wait((before,))
        writing = self._writing.get(openmetrics)
        if writing is None:
            loop = asyncio.get_running_loop()
            writing = loop.run_in_executor(None, self._write, self._observe(), openmetrics)
            self._writing[openmetrics] = writing
            writing.add_done_callback(partial(self._written, openmetrics))
        # Whoever leaves does not take it from the others; nor does its thread end any earlier.
        return await asyncio.shield(writing)

    async def own(self) -> Observation:
        """What this process has done and uses: its part, where there are several."""
        return await asyncio.to_thread(self._with_usage, self._observe())

    def _with_usage(self, seen: Observation) -> Observation:
        return replace(seen, process=read_process(), machine=self._meter.read())

    def observe(self) -> Observation:
        """The server now, without process and machine."""
        return self._observe()

    def _write(self, seen: Observation, openmetrics: bool) -> bytes:
        return _written_out(self._with_usage(seen), openmetrics)

    def _written(self, openmetrics: bool, _: asyncio.Future[bytes]) -> None:
        del self._writing[openmetrics]


def _written_out(seen: Observation, openmetrics: bool) -> bytes:
    # Not above: its library holds 2 MiB, which a server that nobody scrapes need not have.
    from onnxd.telemetry.exposition import exposition

    return exposition(seen, openmetrics=openmetrics)
