"""One version of a model while it serves, and the counted hold that a request has on it."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from onnxd.repository.config import ModelConfig
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.explanation import Explained, explained
from onnxd.repository.pbtxt.shown import as_triton
from onnxd.runtime.placement import Placement
from onnxd.runtime.row_verdict import Verdict
from onnxd.runtime.trial_messages import TrialRequest
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.capacity import RowCap
from onnxd.scheduler.front import Front
from onnxd.scheduler.service_time import BucketTimes
from onnxd.scheduler.submit import Submit
from onnxd.telemetry.observation import RunTimes, VersionObservation
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import ModelSpec
from onnxd_protos import model_config_pb2 as config_pb

DRAIN_S: Final = 60.0
"""How long a retired version waits for its last request before what still runs is ended."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading this version showed: for the index, the banner, and `onnxd check`."""

    providers: tuple[str, ...]
    """Those that the session really runs on, in order."""
    load_s: float
    peak_bytes: int
    """Memory that its sessions needed at most while they were loaded, as its trial has shown."""
    resident_bytes: int = 0
    """Memory that they hold since."""
    threads: int = 1
    """Of each session's pool: its share of the server's budget, or what its config states."""
    warnings: tuple[str, ...] = ()
    """What its config says that this graph makes nothing of."""
    rows: Verdict | None = None
    """Whether its rows are independent; None: nobody asked."""
    isolation: str = ""
    """Why it runs in a process of its own; empty = it does not."""
    content: str = ""
    """The hash of the files that it was loaded from."""


class Placed(Protocol):
    """What there is to see of an instance."""

    @property
    def placement(self) -> Placement: ...

    @property
    def broken(self) -> str:
        """Why nothing will run there any more; empty = it will."""

    @property
    def apart_bytes(self) -> int:
        """Resident memory of a process of its own; 0 = it has none."""


class ServedVersion:
    """A version that is loaded and warm.

    Owns its batcher, instances, session and stored files through `resources`, which are opened by the
    loader and closed here in the reverse order. Requests hold it through a Lease.
    """

    def __init__(
        self,
        *,
        spec: ModelSpec,
        config: ModelConfig,
        identity: str,
        batcher: Batcher,
        statistics: ModelStatistics,
        report: LoadReport,
        resources: AsyncExitStack,
        instances: Sequence[Placed] = (),
        stated: config_pb.ModelConfig | None = None,
        front: Front | None = None,
        tried: TrialRequest | None = None,
        deaths: Mapping[str, int] | None = None,
        loaded: LoadedConfig | None = None,
    ) -> None:
        """`instances`: those that the batcher runs on, to look at. `stated`: what the config was read from,
        where that was Triton's form. `front`: what stands before the batcher. `tried`: how it was first run;
        its file is there while this serves. `deaths`: of its processes so far, by kind; it goes on counting.
        `loaded`: the config as it was read, to say where each value comes from.
        """
        self.spec: Final = spec
        self.config = config
        self.identity = identity
        """The content that it was loaded from: equal identity, equal model."""
        self.batcher: Final = batcher
        self.submit: Final[Submit] = batcher.submit if front is None else front.submit
        """Where requests go in."""
        self.most_rows: Final = spec.max_batch_size if front is None else front.most_rows
        """Of a request."""
        self.statistics: Final = statistics
        self.report: Final = report
        self.tried: Final = tried
        self.output_names: Final = tuple(output.name for output in spec.outputs)
        self.reshaped_outputs: Final = {
            output.name: output for output in spec.outputs if output.reshape is not None
        }
        self.fits: Final[dict[object, tuple[int, tuple[str, ...]]]] = {}
        """Rows and outputs of requests that were found to fit, by their form: whoever asks keeps it."""
        self.leases = 0
        self._resources = resources
        self._instances = instances
        self._stated = stated
        self._loaded = loaded
        self._deaths = {} if deaths is None else deaths
        self._unused: asyncio.Event | None = None

    @property
    def broken(self) -> str:
        """Why it no longer serves, until it is loaded again; empty = it serves."""
        if self.batcher.broken:
            return self.batcher.broken
        for instance in self._instances:
            if instance.broken:
                return instance.broken
        return ""

    def triton_config(self) -> config_pb.ModelConfig:
        """What the configuration endpoint shows."""
        on_cpu = self.report.providers == ("CPUExecutionProvider",)
        return as_triton(self.spec, self.config, self._stated, on_cpu=on_cpu)

    def explain(self) -> tuple[Explained, ...]:
        """Every key of its config, and where each value comes from."""
        return tuple(explained(self._loaded, self.spec)) if self._loaded is not None else ()

    def reconfigure(
        self,
        config: ModelConfig,
        identity: str,
        stated: config_pb.ModelConfig | None = None,
        loaded: LoadedConfig | None = None,
    ) -> None:
        """Go on with other settings, which differ in nothing but what a version can take while it serves
        (reconfiguration.py). What is under way is not disturbed."""
        self.config, self.identity, self._stated, self._loaded = config, identity, stated, loaded
        self.batcher.reconfigure(config.batching.policy())

    def observe(self) -> VersionObservation:
        """What it has done and is doing, for the metrics."""
        usual = self.batcher.usual_run_times()
        rows, size_bytes = self.batcher.waiting_size
        placements = {place.value: 0 for place in Placement}
        for instance in self._instances:
            placements[instance.placement.value] += 1
        return VersionObservation(
            model=self.spec.name,
            version=self.spec.version,
            statistics=self.statistics.snapshot(),
            pending=self.batcher.waiting_requests,
            waiting_rows=rows,
            waiting_bytes=size_bytes,
            busy=self.batcher.running,
            placements=placements,
            load_s=self.report.load_s,
            memory={"peak": self.report.peak_bytes, "resident": self.report.resident_bytes},
            run_times=None if usual is None else _run_times(*usual),
            restarts=dict(self._deaths),
            content=self.report.content,
        )

    async def retire(self, *, drain_s: float = DRAIN_S) -> None:
        """Wait for the last lease, then close everything. Call it once, after the catalog has let go."""
        if self.leases:
            self._unused = asyncio.Event()
            try:
                async with asyncio.timeout(drain_s):
                    await self._unused.wait()
            except TimeoutError:
                # The stragglers' requests fail; their leases point at a closed batcher, which says so.
                pass
        await self.batcher.aclose("is being unloaded")
        await self._resources.aclose()

    def release(self) -> None:
        """Give back one lease."""
        self.leases -= 1
        if self.leases == 0 and self._unused is not None:
            self._unused.set()


def _run_times(known: BucketTimes, cap: RowCap) -> RunTimes:
    return RunTimes(known.fit.line.base_s, known.fit.line.per_row_s, cap.rows)


class Lease:
    """A hold on a serving version: `with Lease(served)`.

    It is not closed before the hold ends: the version that a request begins on is the one it ends on, reload
    or not.
    """

    __slots__ = ("_served",)

    def __init__(self, served: ServedVersion) -> None:
        self._served = served

    def __enter__(self) -> ServedVersion:
        self._served.leases += 1
        return self._served

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._served.release()
