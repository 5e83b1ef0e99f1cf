"""What a model's config.yaml says, as frozen values. The docstrings are the JSON Schema's descriptions.

Shapes are without the batch dimension when the model batches; -1 is a free dimension. Whatever is silent
here is read from the graph (model_spec.py).
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from onnxd.repository.config_values import (
    LEVELS_AS_KEYS,
    MAX_LEVELS,
    Duration,
    FileName,
    Level,
    Provider,
    SessionOptions,
    SomeBytes,
    Verification,
)
from onnxd.repository.shape_config import Axes, BatchInputs
from onnxd.repository.version_policy import VersionPolicy, Versions
from onnxd.runtime.providers import Fallback
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.thread_shares import Claim
from onnxd.scheduler.policy import BatchPolicy
from onnxd.scheduler.queue_policy import QueuePolicy, TimeoutAction
from onnxd.tensors import Datatype

MAX_ROWS: Final = 1_000_000
_MAX_THREADS: Final = 1024

TensorName = Annotated[str, Field(min_length=1)]
Shape = Annotated[tuple[Annotated[int, Field(ge=-1, le=2**31 - 1)], ...], Field(max_length=16)]
Rows = Annotated[int, Field(ge=1, le=MAX_ROWS)]
QueueSize = Annotated[int, Field(ge=1, le=1_000_000)]
Threads = Annotated[int, Field(ge=0, le=_MAX_THREADS)]


@dataclass(frozen=True, slots=True)
class InputConfig:
    """One input of the graph: narrowed, or made optional."""

    name: TensorName
    """The graph's name for it."""
    datatype: Datatype | None = None
    """Must be the graph's; stated to be checked at every load."""
    shape: Shape | None = None
    """Without the batch dimension when the model batches; may fix what the graph leaves free (-1)."""
    reshape: Shape | None = None
    """The shape that the graph sees, where clients see another (`shape`) with the same elements."""
    optional: bool = False
    """Clients may leave it out; only for an input that has a default in the graph, or is a mask_input."""
    ragged: bool = False
    """The graph takes it flat, all requests of a run one after the other; clients send `shape`."""


@dataclass(frozen=True, slots=True)
class OutputConfig:
    """One output of the graph. When outputs are listed, these are offered, in this order, and no others."""

    name: TensorName
    """The graph's name for it."""
    datatype: Datatype | None = None
    """Must be the graph's; stated to be checked at every load."""
    shape: Shape | None = None
    """Without the batch dimension when the model batches; may fix what the graph leaves free (-1)."""
    labels: FileName | None = None
    """A text file in the model's directory with one class label a line, for classification."""
    reshape: Shape | None = None
    """The shape that the graph gives, where clients see another (`shape`) with the same elements."""
    scatter: TensorName | None = None
    """The graph gives it flat; each request gets what the shape of this input in it asks for."""


@dataclass(frozen=True, slots=True)
class SessionSection:
    """How ONNX Runtime runs the graph."""

    intra_op_threads: Threads = 0
    """Threads within one operator; 0 = the model's share of the server's budget (weight)."""
    inter_op_threads: Annotated[int, Field(ge=1, le=_MAX_THREADS)] = 1
    """Threads across operators; counts only with execution_mode: parallel."""
    execution_mode: Literal["sequential", "parallel"] = "sequential"
    """Whether independent operators may run at the same time."""
    graph_optimization: Literal["disable", "basic", "extended", "all"] = "all"
    """How far ONNX Runtime rewrites the graph before it runs it."""
    memory_arena: bool = True
    """Keep the memory that a run frees for the next run."""
    memory_pattern: bool = True
    """Lay memory out by what the last run of the same shapes needed."""
    options: SessionOptions = field(default_factory=dict)
    """ONNX Runtime's own session config entries, such as session.intra_op.allow_spinning: "0"."""


@dataclass(frozen=True, slots=True)
class PrioritySection:
    """How the requests of one priority level wait, where it is not as for all."""

    max_queue_size: QueueSize | None = None
    """Requests of this level that may wait; one more is refused at once."""
    default_timeout: Duration | None = None
    """How long a request of this level may wait when it does not say."""
    timeout_action: TimeoutAction | None = None
    """What becomes of a request of this level that has waited too long."""
    allow_timeout_override: bool | None = None
    """A request of this level may say how long it waits, if that is shorter."""

    def policy(self, usual: QueuePolicy) -> QueuePolicy:
        """`usual` is what holds where this says nothing."""
        own = usual
        if self.max_queue_size is not None:
            own = replace(own, max_queue_size=self.max_queue_size)
        if self.default_timeout is not None:
            own = replace(own, default_timeout=self.default_timeout)
        if self.timeout_action is not None:
            own = replace(own, timeout_action=self.timeout_action)
        if self.allow_timeout_override is not None:
            own = replace(own, allow_timeout_override=self.allow_timeout_override)
        return own


@dataclass(frozen=True, slots=True)
class BatchingSection:
    """How requests wait and are put together."""

    verify: Verification = "auto"
    """Whether rows are shown to be independent at the load: auto = a warning where they are not, strict = no
    load, off = not looked at. Without max_batch_size a model is batched only where it is shown."""
    dynamic: bool = True
    """Put the rows of several requests into one run; with false each request runs alone, with its rows."""
    split_large: bool = False
    """Take requests with more rows than max_batch_size, and run them in parts; up to 64 parts."""
    single_flight: bool = False
    """Run identical requests that are in flight at the same time once, and answer all of them with it."""
    max_queue_delay: Duration = 0.0
    """How long the oldest request may be held back so that a fuller batch can form; needs max_batch_size."""
    preferred_sizes: Annotated[tuple[Rows, ...], Field(max_length=64)] = ()
    """Rows at which a batch is not held back any longer; needs max_queue_delay."""
    max_queue_size: QueueSize = 1024
    """Requests that may wait, of each priority level; one more is refused at once."""
    max_queue_bytes: SomeBytes = 256 * 2**20
    """Payload that may wait; -1 = no bound."""
    default_timeout: Duration = 0.0
    """How long a request may wait when it does not say; 0ms = as long as its own deadline allows."""
    timeout_action: TimeoutAction = "reject"
    """What becomes of a request that has waited too long: reject, or delay = those that have not go first."""
    allow_timeout_override: bool = True
    """A request may say how long it waits (`timeout`), if that is shorter; false = default_timeout holds."""
    priority_levels: Annotated[int, Field(ge=0, le=MAX_LEVELS)] = 0
    """Levels that requests may ask for (`priority`), 1 being the highest; 0 = first come, first served."""
    default_priority: Annotated[int, Field(ge=1, le=MAX_LEVELS)] | None = None
    """The level of requests that name none of them; absent = the lowest."""
    priorities: Annotated[dict[Level, PrioritySection], LEVELS_AS_KEYS] = field(default_factory=dict)
    """Levels that wait in a way of their own."""
    preserve_ordering: bool = False
    """Answers leave in the order in which their requests came, whichever instance has them first."""

    def usual(self) -> QueuePolicy:
        """How requests wait of a level that has no way of its own."""
        return QueuePolicy(
            self.max_queue_size, self.default_timeout, self.timeout_action, self.allow_timeout_override
        )

    @property
    def in_front(self) -> bool:
        """Whether requests do not come to the scheduler as they came to the server."""
        return self.split_large or self.single_flight

    def policy(self) -> BatchPolicy:
        """What the scheduler needs of it."""
        usual = self.usual()
        return BatchPolicy(
            max_queue_delay=self.max_queue_delay,
            max_queue_size=self.max_queue_size,
            max_queue_bytes=self.max_queue_bytes,
            default_timeout=self.default_timeout,
            allow_timeout_override=self.allow_timeout_override,
            timeout_action=self.timeout_action,
            preferred_sizes=self.preferred_sizes,
            priority_levels=self.priority_levels,
            default_priority=self.default_priority or 0,
            priorities={int(level): own.policy(usual) for level, own in self.priorities.items()},
            preserve_ordering=self.preserve_ordering,
        )


@dataclass(frozen=True, slots=True)
class WarmupInput:
    """What an input is given in a warm-up run."""

    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=2**31 - 1)], ...], Field(max_length=16)]
    """As clients would send it, without the batch dimension when the model batches; no size is free."""
    datatype: Datatype | None = None
    """Must be the input's; stated to be checked."""
    fill: Literal["zeros", "random"] = "zeros"
    """zeros, or small random numbers that are the same each time; text is empty either way."""


@dataclass(frozen=True, slots=True)
class WarmupSample:
    """One run, in full."""

    inputs: dict[TensorName, WarmupInput] = field(default_factory=dict)
    """By name; a required input that is not here is zeros, and 1 in each free dimension."""
    batch_size: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 1
    """Rows, for a model with max_batch_size."""
    count: Annotated[int, Field(ge=1, le=1000)] = 1
    """How often it is run on each instance."""


@dataclass(frozen=True, slots=True)
class WarmupSection:
    """The runs before the model is READY."""

    batch_sizes: (
        Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_ROWS)], ...], Field(min_length=1, max_length=16)]
        | None
    ) = None
    """Rows of each run; absent = 1 and max_batch_size, unless there are samples. Only with max_batch_size."""
    samples: Annotated[tuple[WarmupSample, ...], Field(max_length=64)] = ()
    """Runs that say more than their rows, after those of batch_sizes."""


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The config.yaml of a model served by onnxd. Every key may be left out."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, use_attribute_docstrings=True
    )

    description: str = ""
    """What the model does, for people."""
    file: FileName = "model.onnx"
    """The graph's file in each version directory."""
    max_batch_size: Annotated[int, Field(ge=0, le=MAX_ROWS)] | None = None
    """Rows of the biggest batch; 0 = the model does not batch, and shapes are complete. Absent = as many as
    the server's batching.default_max_batch_size where rows are shown to be independent, else 0."""
    inputs: tuple[InputConfig, ...] = ()
    """Inputs to narrow or to make optional; those not listed are as the graph says."""
    outputs: tuple[OutputConfig, ...] = ()
    """The outputs to offer, in this order; absent = all of the graph's."""
    dynamic_axes: Axes = field(default_factory=dict)
    """By the graph's symbol: axes on which requests of different size are padded, to share a batch."""
    batch_inputs: BatchInputs = ()
    """Inputs that the server makes for each run; clients do not see them."""
    providers: Annotated[tuple[Provider, ...], Field(min_length=1, max_length=16)] = ("CPUExecutionProvider",)
    """Execution providers in order of preference; an item may be {name: {option: value}}."""
    require_provider: str | None = None
    """One of providers: fail the load when it is not in use, whatever provider_fallback says."""
    provider_fallback: Fallback = "error"
    """When a provider cannot be had: fail the load (error), or go on with those after it and warn (next)."""
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    """Sessions; on a CPU one session with all threads beats several."""
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    """Its share of the server's threads, beside the weights of the other models."""
    isolation: Literal["auto", "thread", "process"] = "auto"
    """process: in a child that may die without harm; thread: in the server; auto: as the graph demands."""
    session: SessionSection = field(default_factory=SessionSection)
    """How ONNX Runtime runs the graph."""
    batching: BatchingSection = field(default_factory=BatchingSection)
    """How requests wait and are put together."""
    versions: Versions = field(default_factory=VersionPolicy)
    """Which versions are served: {latest: n}, all, or a list of them; absent = the highest."""
    warmup: WarmupSection = field(default_factory=WarmupSection)
    """The runs before the model is READY."""
    parameters: Annotated[
        dict[Annotated[str, Field(max_length=256)], Annotated[str, Field(max_length=65536)]],
        Field(max_length=256),
    ] = field(default_factory=dict)
    """Texts for clients, which find them in the model's configuration; the server does nothing with them."""

    @property
    def batches(self) -> bool:
        return bool(self.max_batch_size)

    @property
    def label_files(self) -> dict[str, str]:
        """Output name -> its labels' file in the model's directory."""
        return {output.name: output.labels for output in self.outputs if output.labels is not None}

    def thread_claim(self) -> Claim:
        """What its sessions ask of the server's threads."""
        parallel = self.session.execution_mode == "parallel"
        return Claim(
            weight=self.weight,
            stated=self.session.intra_op_threads,
            sessions=self.instances,
            beside=self.session.inter_op_threads if parallel else 0,
        )

    def session_config(self) -> SessionConfig:
        """What the runtime needs of it."""
        return SessionConfig(
            providers=self.providers,
            require_provider=self.require_provider,
            provider_fallback=self.provider_fallback,
            intra_op_threads=self.session.intra_op_threads,
            inter_op_threads=self.session.inter_op_threads,
            execution_mode=self.session.execution_mode,
            graph_optimization=self.session.graph_optimization,
            memory_arena=self.session.memory_arena,
            memory_pattern=self.session.memory_pattern,
            options=dict(self.session.options),
        )


def provider_name(entry: str | dict[str, dict[str, str | int | float | bool]]) -> str:
    """The name of an item of `providers`."""
    return entry if isinstance(entry, str) else next(iter(entry))
