"""Models that serve without a file, a session or a repository: the real catalog, scheduler and inference
service over runners in memory. For tests of the front ends."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from onnxd.errors import ServerError
from onnxd.inference import InferenceConfig, InferenceService
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.catalog import Catalog, IndexEntry, ModelState, VersionState
from onnxd.repository.config import ModelConfig
from onnxd.repository.served import LoadReport, ServedVersion
from onnxd.scheduler.batch import Alone, Rows
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.clock import LoopClock
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.runner import Runner, RunResult
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.instruments import BUILD_PARTS
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.refusals import Refusals
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array, Datatype, ModelSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Outcome:
    """Obeys onnxd.scheduler.runner.RunResult."""

    outputs: Mapping[str, Array] | None
    error: Exception | None
    start_ns: int
    end_ns: int


class IdentityRunner:
    """Answers each output with the input in the same place."""

    def __init__(self, spec: ModelSpec) -> None:
        self._sources = {
            output.name: source.name for output, source in zip(spec.outputs, spec.inputs, strict=True)
        }

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunResult], None]
    ) -> None:
        start_ns = time.monotonic_ns()
        answers = {name: inputs[self._sources[name]] for name in outputs}
        done(Outcome(answers, None, start_ns, time.monotonic_ns()))

    def terminate(self) -> None:
        return None


class FailingRunner:
    """Ends every run with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunResult], None]
    ) -> None:
        now_ns = time.monotonic_ns()
        done(Outcome(None, self.error, now_ns, now_ns))

    def terminate(self) -> None:
        return None


class HoldingRunner:
    """Its runs begin and do not end before `release` is called. `begun` is set by the first."""

    def __init__(self, spec: ModelSpec) -> None:
        self._identity = IdentityRunner(spec)
        self._held: list[Callable[[], None]] = []
        self.begun = asyncio.Event()

    def start(
        self, inputs: Mapping[str, Array], outputs: tuple[str, ...], done: Callable[[RunResult], None]
    ) -> None:
        self._held.append(lambda: self._identity.start(inputs, outputs, done))
        self.begun.set()

    def release(self) -> None:
        """End the runs in progress, each with its inputs as outputs."""
        held, self._held = self._held, []
        for finish in held:
            finish()

    def terminate(self) -> None:
        self.release()


def tensor(name: str, *shape: int, datatype: Datatype = Datatype.FP32) -> TensorSpec:
    """A tensor's spec in one line; -1 = a free dimension."""
    return TensorSpec(name, datatype, shape)


def identity_spec(
    name: str = "identity",
    version: int = 1,
    *,
    inputs: Sequence[TensorSpec] = (tensor("x", 4),),
    max_batch_size: int = 8,
) -> ModelSpec:
    """A model with an output `y`, `y1`, ... for each input: by default x[4] in, y[4] out, in rows."""
    outputs = tuple(
        TensorSpec(f"y{place or ''}", source.datatype, source.shape) for place, source in enumerate(inputs)
    )
    return ModelSpec(name, version, tuple(inputs), outputs, max_batch_size)


def served_version(
    spec: ModelSpec,
    runner: Runner | None = None,
    *,
    policy: BatchPolicy | None = None,
    config: ModelConfig | None = None,
) -> ServedVersion:
    """A version that serves, by default an IdentityRunner's. To be called on a running loop."""
    statistics = ModelStatistics()
    batcher = Batcher(
        spec.name,
        [runner or IdentityRunner(spec)],
        max_rows=spec.max_batch_size,
        form=Rows() if spec.max_batch_size else Alone(),
        policy=policy or BatchPolicy(),
        statistics=statistics,
        clock=LoopClock(asyncio.get_running_loop()),
    )
    return ServedVersion(
        spec=spec,
        config=config or ModelConfig(max_batch_size=spec.max_batch_size),
        identity=f"{spec.name} {spec.version}",
        batcher=batcher,
        statistics=statistics,
        report=LoadReport(providers=("CPUExecutionProvider",), load_s=0.0, peak_bytes=0),
        resources=AsyncExitStack(),
    )


@dataclass(slots=True)
class ScriptedControl:
    """The control plane as the front ends see it: it remembers what it was told, and fails when told to."""

    catalog: Catalog
    loaded: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    unloaded: list[str] = field(default_factory=list)
    fault: ServerError | None = None
    """Raised by load, rollback and unload from now on."""
    overrides_permitted: bool = False

    async def index(self) -> tuple[IndexEntry, ...]:
        return tuple(self.catalog.index())

    async def load(self, name: str, given: LoadOverride | None = None) -> None:
        if self.fault is not None:
            raise self.fault
        self.loaded.append(name)

    async def rollback(self, name: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.rolled_back.append(name)

    async def unload(self, name: str) -> None:
        if self.fault is not None:
            raise self.fault
        self.unloaded.append(name)


@dataclass(slots=True)
class Serving:
    """What a front end stands on."""

    catalog: Catalog
    inference: InferenceService
    control: ScriptedControl
    refusals: Refusals = field(default_factory=Refusals)
    lane: bool = True
    """Whether inference over HTTP takes the lane."""

    def serve(self, *versions: ServedVersion) -> None:
        """Serve these versions of one model, instead of what served under its name."""
        numbered = {version.spec.version: version for version in versions}
        states = {number: VersionState(ModelState.READY) for number in numbered}
        self.catalog.swap(versions[0].spec.name, numbered, states)

    def observe(self) -> Observation:
        """What has been seen here, for the metrics."""
        return Observation(
            build=dict.fromkeys(BUILD_PARTS, "0"),
            versions=self.inference.observe(),
            in_flight=self.inference.in_flight,
            refused=self.refusals.snapshot(),
            loads={"success": 0, "failure": 0},
        )


def serving(
    *versions: ServedVersion,
    config: InferenceConfig | None = None,
    shared_memory: SharedMemory | None = None,
) -> Serving:
    """An inference service that is ready, with these versions, each of a model of its own."""
    catalog = Catalog()
    inference = InferenceService(catalog, config or InferenceConfig(), shared_memory)
    stand = Serving(catalog, inference, ScriptedControl(catalog))
    for version in versions:
        stand.serve(version)
    inference.open()
    return stand
