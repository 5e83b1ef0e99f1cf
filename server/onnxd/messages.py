"""A request and its answer inside the server, between the codecs and the scheduler.

One of the only three representations there are: wire, InferRequest/InferResponse, stacked arrays.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self, get_args

from onnxd.tensors import Array, Datatype

ParameterValue = bool | int | float | str
CutReason = Literal[
    "idle", "freed", "shape", "full", "knee", "guard", "preferred", "delay", "deadline", "single"
]
"""Why a batch was cut where it was, and not bigger.

    idle, freed   nothing else waited when an instance was idle, or became free
    shape         the others that waited have another shape, or ask for other outputs
    full          the next request would have exceeded the maximum, or the rows were the maximum
    knee          more rows would have given hardly more throughput
    guard         bigger batches have found no memory, or have taken too long
    preferred     the rows were one of the preferred sizes
    delay         the oldest request had waited its delay
    deadline      a request was not to be held back any longer, or the batch would have missed its deadline
                  if it had been bigger
    single        the model does not batch
"""
CUT_REASONS: Final[tuple[CutReason, ...]] = get_args(CutReason)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. Settled at the edge from headers or metadata, before a body is read."""

    name: str


ANONYMOUS: Final = Principal("anonymous")


@dataclass(frozen=True, slots=True)
class Origin:
    """Which version of which model runs something, and from what it was loaded."""

    model: str
    version: int = 0
    """0 = not known."""
    content: str = ""
    """The hash of the version's files; empty = not known."""
    provider: str = ""
    """The one that its session prefers of those that it really has."""
    replica: str = ""
    """The name of the server that runs it; empty = it was told none."""


@dataclass(slots=True, eq=False)
class Execution:
    """One run of a model: what its requests have in common. It holds no request and no tensor.

    Times are of time.monotonic_ns(); 0 = not reached.
    """

    origin: Origin
    rows: int
    requests: int
    cut: str
    instance: int = 0
    """Which of the version's instances ran it, from 0."""
    again: bool = False
    """A part of a batch that had failed."""
    taken_ns: int = 0
    start_ns: int = 0
    end_ns: int = 0
    settled_ns: int = 0
    """Its outputs are split, and its requests answered or failed."""
    elements: int = 0
    """In its inputs with dynamic axes, padding included."""
    padding: int = 0
    """How many of them are padding."""
    error: str = ""
    """The class of what it failed with."""
    span: object | None = None
    """For telemetry, which links it with its requests."""


@dataclass
class Timeline:
    """When a request passed each point, in nanoseconds of time.monotonic_ns(); 0 = not reached.

    Without slots, so that a point that is not reached is the class's 0, and costs nothing.
    """

    received_ns: int = field(default_factory=time.monotonic_ns)
    """The front end has the head of the request."""
    decode_start_ns: int = 0
    decode_end_ns: int = 0
    queue_start_ns: int = 0
    """It came to the queue, which took it; a request that is refused there has none."""
    compute_start_ns: int = 0
    """Taken from the queue; stacking begins."""
    infer_start_ns: int = 0
    infer_end_ns: int = 0
    compute_end_ns: int = 0
    """Split, and handed back."""
    encode_start_ns: int = 0
    encode_end_ns: int = 0
    ended_ns: int = 0
    """All is over but the log."""
    slow: bool = False
    """It took out of the ordinary long, for its model."""
    batch_rows: int = 0
    batch_requests: int = 0
    cut: str = ""
    """Why the batch was cut where it was (scheduler/policy.py has the reasons)."""
    executions: tuple[Execution, ...] = ()
    """The runs that it was in: one, but for a request in parts, or of a batch that failed and was divided."""

    @classmethod
    def begun(cls, received_ns: int) -> Self:
        """As the constructor makes it, in a third of the time."""
        timeline = cls.__new__(cls)
        timeline.received_ns = received_ns
        return timeline


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """Where a tensor's bytes lie in shared memory: a range of a region that was registered by name."""

    region: str
    offset: int
    byte_size: int


@dataclass(frozen=True, slots=True)
class SharedInput:
    """An input that is in shared memory, not yet read."""

    datatype: Datatype
    shape: tuple[int, ...]
    place: SharedPlace


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """One output that the client asked for by name."""

    name: str
    binary: bool | None = None
    """HTTP only: raw bytes behind the JSON (True), JSON (False), or as the request's default says (None)."""
    classification: int = 0
    """k > 0: the k best classes as BYTES instead of the tensor."""
    place: SharedPlace | None = None
    """Shared memory that it is to be written to, in place of the answer."""


@dataclass(slots=True)
class InferRequest:
    """A decoded request. Owned by the task that decoded it; not changed after it is submitted."""

    model_name: str
    inputs: dict[str, Array]
    """By name, in the request's order; views over the received buffer where the form allows it."""
    model_version: int | None = None
    """None = the version policy's choice: the highest that is READY."""
    id: str = ""
    outputs: tuple[RequestedOutput, ...] = ()
    """Empty = all of the model's outputs."""
    binary_by_default: bool = False
    """HTTP only: outputs that do not say otherwise are answered as raw bytes."""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    priority: int = 0
    queue_timeout_s: float | None = None
    """From the `timeout` parameter (microseconds on the wire): how long it may wait in the queue."""
    byte_size: int = 0
    """Payload bytes, for the queue's bound."""
    principal: Principal = ANONYMOUS
    deadline_s: float | None = None
    """The caller's deadline, in seconds of time.monotonic()."""
    timeline: Timeline = field(default_factory=Timeline)
    shared_inputs: Mapping[str, SharedInput] = field(default_factory=dict)
    """Inputs that are yet to be read into `inputs`."""
    form: object = None
    """The same object for requests that differ in id and in what is in their tensors alone, and not in the
    names, datatypes and shapes of these: what was found of one of them holds for all. None = not known."""

    @property
    def uses_shared_memory(self) -> bool:
        if self.shared_inputs:
            return True
        return bool(self.outputs) and any(output.place is not None for output in self.outputs)


@dataclass(slots=True)
class InferResponse:
    """The answer to one request, not yet encoded."""

    model_name: str
    model_version: int
    id: str
    outputs: Mapping[str, Array]
    """By name, in the order in which they are to be answered. BYTES: object arrays of str."""
    in_shared_memory: frozenset[str] = frozenset()
    """Outputs that are written already: they are answered by name, datatype and shape alone."""

    @property
    def total_bytes(self) -> int:
        """Of the arrays; of text only what refers to it."""
        total = 0
        for array in self.outputs.values():
            total += array.nbytes
        return total
