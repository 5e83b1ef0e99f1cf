"""The calls of one server: which stream is which, and all that are in progress."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from onnxd.errors import NotSupported, ServerDraining, ServerError
from onnxd.grpc_frontend.boundary import settle
from onnxd.grpc_frontend.call import Call
from onnxd.grpc_frontend.config import GrpcConfig
from onnxd.grpc_frontend.errors import Refusal, refusal_of
from onnxd.grpc_frontend.native.exchange import Exchange
from onnxd.grpc_frontend.native.head import Head, NotGrpc, path_of, read_head, too_much_metadata
from onnxd.grpc_frontend.native.status import not_grpc, trailers, trailers_only
from onnxd.grpc_frontend.native.streamed import FIRST_WORD_S, StreamedExchange
from onnxd.grpc_frontend.native.unary import UnaryExchange
from onnxd.grpc_frontend.native.workers import Workers
from onnxd.grpc_frontend.operations import operation_of
from onnxd.grpc_frontend.transport import Handler, Handlers
from onnxd.http2.stream import Header, RequestHead, Stream, StreamHandler
from onnxd.protocol.wording import show
from onnxd.scheduler.payloads import PayloadBound
from onnxd.telemetry.refusals import Refusals

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Method:
    """A method and what serves it."""

    path: str
    streamed: bool
    serve: Callable[[Any, Any], Any]


@dataclass(slots=True)
class Plan:
    """What becomes of calls with this head: found again at the next one that has it."""

    calls: "Calls"
    """For whom it holds."""
    method: Method | None = None
    """None = it is refused."""
    head: Head = field(default_factory=lambda: Head(None, "identity", None))
    answer: list[Header] = field(default_factory=list)
    """How it is refused."""
    error: ServerError | None = None


class Refused:
    """The StreamHandler of a call that is not taken. Its caller is told when it has begun to send, or has not
    for a while (see FIRST_WORD_S)."""

    def __init__(self, stream: Stream, answer: list[Header], loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._answer = answer
        self._timer = loop.call_later(FIRST_WORD_S, self._say)

    def data_received(self, data: bytes | memoryview) -> None:
        self._say()
        self._stream.consumed(len(data))

    def end_received(self, trailers: list[Header]) -> None:
        self._say()

    def lost(self, code: int) -> None:
        self._timer.cancel()

    def _say(self) -> None:
        self._timer.cancel()
        self._stream.send_headers(self._answer, end=True)


class Calls:
    """A StreamFactory."""

    def __init__(
        self,
        handlers: Handlers,
        config: GrpcConfig,
        payloads: PayloadBound,
        refusals: Refusals,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._methods = {path.encode(): _method(path, handler) for path, handler in handlers.items()}
        self._refusals = refusals
        self._max_metadata = config.max_metadata
        self._ended = False
        self.tasks = tasks
        self.workers = Workers(tasks)
        self.loop = asyncio.get_running_loop()
        self.max_message = config.max_message
        self._compression = config.response_compression
        self.payloads = payloads
        self.open: set[Exchange] = set()
        """Those in progress."""

    def __call__(self, stream: Stream) -> StreamHandler:
        """As StreamFactory."""
        head = stream.head
        known = head.memo
        if not isinstance(known, Plan) or known.calls is not self:
            known = head.memo = self._plan(head)
        if known.method is None or self._ended:
            return self._refuse(stream, known)
        kind = StreamedExchange if known.method.streamed else UnaryExchange
        return kind(self, stream, known.method, known.head)

    def _plan(self, head: RequestHead) -> "Plan":
        by_name = dict(head.headers)
        try:
            path = path_of(by_name)
        except NotGrpc as odd:
            return Plan(self, answer=not_grpc(odd.status, str(odd)))
        method = self._methods.get(path)
        try:
            if method is None:
                raise NotSupported(f"there is no method {show(path.decode('latin-1'))}")
            if head.truncated:
                raise too_much_metadata(self._max_metadata)
            read = read_head(
                head.headers, by_name, max_metadata=self._max_metadata, compression=self._compression
            )
        except ServerError as error:
            return Plan(self, error=error, answer=_refused(error))
        return Plan(self, method, read)

    def _refuse(self, stream: Stream, plan: "Plan") -> StreamHandler:
        error, answer = plan.error, plan.answer
        if not answer:
            error = _stopped()
            answer = _refused(error)
        if error is not None:
            self._refusals.count(type(error))
        return Refused(stream, answer, self.loop)

    def fits(self, length: int) -> bool:
        """Whether a message may have so many bytes."""
        return length <= self.max_message or self.max_message < 0

    def settle(self, error: Exception, exchange: Exchange, path: str) -> Refusal:
        """What its caller is told of an error that no handler has seen."""
        call = Call(exchange, path.removeprefix("/"), self._refusals, operation_of(path))
        return settle(error, call)

    def end_all(self) -> None:
        """End what is in progress, and refuse what still comes: the server has stopped."""
        self._ended = True
        refusal = refusal_of(_stopped())
        for exchange in tuple(self.open):
            exchange.end(trailers(refusal.status, refusal.details, refusal.trailers))
        self.workers.close()


def _stopped() -> ServerDraining:
    return ServerDraining("the server is shutting down", retry_after_s=1.0)


def _refused(error: ServerError) -> list[Header]:
    refusal = refusal_of(error)
    return trailers_only(trailers(refusal.status, refusal.details, refusal.trailers))


def _method(path: str, handler: Handler) -> Method:
    return Method(path, handler.streamed, handler.serve)
