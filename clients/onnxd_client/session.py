"""The client without its I/O: every call as a plan. `Client` and `AsyncClient` only drive these."""

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from onnxd_client.codec import Codec, Exchange, InferCall, Parameter, ReplyT, RequestT
from onnxd_client.errors import (
    ConnectFailed,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    ServerError,
)
from onnxd_client.inputs import Inputs, encode_inputs, needs_metadata
from onnxd_client.plan import Attempt, Plan
from onnxd_client.results import InferResult, ModelMetadata
from onnxd_client.retry import Retries, RetryBudget, RetryPolicy
from onnxd_client.trace_context import trace_headers

T = TypeVar("T")
Version = int | str | None

_TOKEN = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class Options:
    """Everything about an inference but its model and inputs; see Client.infer."""

    version: Version = None
    outputs: Iterable[str] | None = None
    classes: Mapping[str, int] | None = None
    id: str = ""
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What all requests of one call share: when it expires (by the session's clock), and its headers."""

    expires: float
    headers: Mapping[str, str]


class Session(Generic[RequestT, ReplyT]):
    """The state that outlives a call: the retry budget and what is known of models' inputs.

    Safe to share between threads: each plan is one call's own.
    """

    def __init__(
        self,
        codec: Codec[RequestT, ReplyT],
        *,
        deadline: float,
        headers: Mapping[str, str],
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.codec = codec
        self._deadline = _checked(deadline)
        self._headers = _lower(headers)
        self._policy = policy
        self._budget = RetryBudget(policy)
        self._clock = clock
        self._chance = chance
        self._known: dict[tuple[str, str], ModelMetadata] = {}

    def context(self, deadline: float | None, headers: Mapping[str, str] | None) -> Context:
        """Starts the clock of a call and takes its trace. The caller's own headers win over the trace's."""
        seconds = self._deadline if deadline is None else _checked(deadline)
        return Context(
            expires=self._clock() + seconds,
            headers={**trace_headers(), **self._headers, **_lower(headers or {})},
        )

    def left(self, context: Context) -> float:
        """Seconds until the call expires."""
        return context.expires - self._clock()

    def call(self, exchange: Exchange[RequestT, ReplyT, T], context: Context) -> Plan[RequestT, ReplyT, T]:
        """One exchange, with its retries."""
        self._budget.earn()
        retries = Retries(self._policy, self._budget, self._chance)
        delay = 0.0
        while True:
            timeout = self.left(context) - delay
            if timeout <= 0:
                raise DeadlineExceeded("the deadline passed before the request could be sent")
            headers = {**context.headers, **self.codec.deadline_headers(timeout)}
            try:
                return exchange.read((yield Attempt(exchange.request, headers, timeout, delay)))
            except ServerError as error:
                again = retries.delay_after(error, self.left(context)) if exchange.retried else None
                if again is None:
                    raise
                delay = again

    def probe(
        self, exchange: Exchange[RequestT, ReplyT, bool], context: Context
    ) -> Plan[RequestT, ReplyT, bool]:
        """A question of health, to which "nobody there" is an answer."""
        try:
            return (yield from self.call(exchange, context))
        except ConnectFailed:
            return False

    def infer(
        self, model: str, inputs: Inputs, options: Options, context: Context
    ) -> Plan[RequestT, ReplyT, InferResult]:
        """One inference. If it fails on stale metadata (the model was replaced), once more with fresh."""
        key = (model, version_text(options.version))
        stale = self._known.get(key) if needs_metadata(inputs) else None
        try:
            call = yield from self.prepare(model, inputs, options, context)
            return (yield from self.call(self.codec.infer(call), context))
        except (InvalidRequest, NotFound):
            if stale is None:
                raise
            self._known.pop(key, None)
            if (yield from self._metadata(key, context)) == stale:
                raise
        call = yield from self.prepare(model, inputs, options, context)
        return (yield from self.call(self.codec.infer(call), context))

    def prepare(
        self, model: str, inputs: Inputs, options: Options, context: Context
    ) -> Plan[RequestT, ReplyT, InferCall]:
        """The inputs as tensors, asking the server for the model's metadata only if they need it."""
        version = version_text(options.version)
        metadata = (yield from self._metadata((model, version), context)) if needs_metadata(inputs) else None
        return InferCall(
            model=model,
            version=version,
            inputs=encode_inputs(inputs, metadata),
            outputs=_outputs(options.outputs, options.classes),
            id=options.id,
            parameters=options.parameters,
            priority=options.priority,
        )

    def _metadata(self, key: tuple[str, str], context: Context) -> Plan[RequestT, ReplyT, ModelMetadata]:
        known = self._known.get(key)
        if known is None:
            known = yield from self.call(self.codec.metadata(*key), context)
            self._known[key] = known
        return known


def checked_in_flight(in_flight: int) -> int:
    """With room for none, a stream would wait for ever. Raises ValueError."""
    if in_flight < 1:
        raise ValueError(f"in_flight is {in_flight}, expected at least 1")
    return in_flight


def _outputs(names: Iterable[str] | None, classes: Mapping[str, int] | None) -> Mapping[str, int | None]:
    if isinstance(names, str):
        raise InvalidRequest(f"outputs: expected a list of names, got the text {names!r}; write [{names!r}]")
    wanted: dict[str, int | None] = dict.fromkeys(names or ())
    wanted.update(classes or {})
    return wanted


def version_text(version: Version) -> str:
    """The protocol writes versions as text; "" lets the server choose."""
    return "" if version is None else str(version)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    """Names in lower case; raises InvalidRequest for what a header cannot be."""
    # gRPC takes lower-case names only, and on HTTP it makes the call's headers replace the client's.
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise InvalidRequest(f"header {name!r}: expected a name and printable ASCII, got {value!r}")
    return {name.lower(): value for name, value in headers.items()}


def _checked(deadline: float) -> float:
    if not deadline > 0:
        raise ValueError(f"deadline is {deadline}, expected seconds above 0, or math.inf for none")
    return deadline
