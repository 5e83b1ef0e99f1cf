"""Real OTLP receivers, over gRPC and over HTTP with protobuf: what a collector is to the server's exporter.

async with GrpcReceiver() as receiver:
    ...  # a server with tracing.endpoint = receiver.endpoint
    await receiver.wait_for(5)
    assert tree(receiver.spans) == [...]
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import grpc
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Value = str | bool | int | float
_DEADLINE_S: Final = 20.0


@dataclass(frozen=True)
class ReceivedSpan:
    """One span as it came over the wire."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the root of a trace."""
    kind: str
    """SERVER, INTERNAL, ..."""
    start_ns: int
    end_ns: int
    """Both of the Unix epoch."""
    attributes: Mapping[str, Value]
    status: str
    """UNSET, OK, ERROR."""
    status_message: str
    trace_state: str
    links: tuple[tuple[str, str], ...]
    """Trace and span that it is linked to."""
    resource: Mapping[str, Value]


def tree(spans: Iterable[ReceivedSpan]) -> list[str]:
    """The spans as Jaeger shows them: names indented below their parents, in the order of their starts.

    A span whose parent was not received (it is the caller's) stands at the left, like a root.
    """
    spans = list(spans)
    known = {span.span_id for span in spans}
    children: dict[str, list[ReceivedSpan]] = {}
    for span in sorted(spans, key=lambda span: (span.start_ns, span.end_ns)):
        children.setdefault(span.parent_id if span.parent_id in known else "", []).append(span)

    def lines(parent_id: str, depth: int) -> list[str]:
        return [
            line
            for span in children.get(parent_id, ())
            for line in ("  " * depth + span.name, *lines(span.span_id, depth + 1))
        ]

    return lines("", 0)


class _Received:
    """What has arrived so far, and a way to wait for more."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.headers: list[Mapping[str, str]] = []
        """Of each export, in lower case."""
        self._arrived = asyncio.Condition()

    async def take(self, request: ExportTraceServiceRequest, headers: Mapping[str, str]) -> None:
        async with self._arrived:
            self.headers.append(headers)
            self.spans.extend(_spans(request))
            self._arrived.notify_all()

    async def wait_for(self, count: int) -> None:
        """Until `count` spans have arrived in all. Raises TimeoutError when they do not."""
        async with asyncio.timeout(_DEADLINE_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.spans) >= count)


class _GrpcListener(ABC):
    """A gRPC server of one service, on a port of its own choice."""

    @abstractmethod
    def _add_to(self, server: grpc.aio.Server) -> None:
        """Register the service."""

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        self._add_to(self._server)
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"


class GrpcReceiver(_GrpcListener, _Received, TraceServiceServicer):
    """An OTLP receiver over gRPC on a port of its own choice."""

    def _add_to(self, server: grpc.aio.Server) -> None:
        # Generated without annotations.
        add_TraceServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]

    async def Export(
        self,
        request: ExportTraceServiceRequest,
        context: grpc.aio.ServicerContext[ExportTraceServiceRequest, ExportTraceServiceResponse],
    ) -> ExportTraceServiceResponse:
        metadata = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        await self.take(request, metadata)
        return ExportTraceServiceResponse()


class HttpReceiver(_Received):
    """An OTLP receiver over HTTP with protobuf, on a port of its own choice.

    With `redirect_to` it answers every export with a redirect to that URL instead.
    """

    def __init__(self, redirect_to: str | None = None) -> None:
        super().__init__()
        self._redirect_to = redirect_to
        self.redirected = 0

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/v1/traces", self._export)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def endpoint(self) -> str:
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def _export(self, request: web.Request) -> web.Response:
        body = await request.read()
        if self._redirect_to is not None:
            self.redirected += 1
            raise web.HTTPTemporaryRedirect(self._redirect_to)
        await self.take(
            ExportTraceServiceRequest.FromString(body),
            {name.lower(): value for name, value in request.headers.items()},
        )
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf"
        )


def _spans(request: ExportTraceServiceRequest) -> Iterable[ReceivedSpan]:
    for of_resource in request.resource_spans:
        resource = _values(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield _received(span, resource)


def _received(span: Span, resource: Mapping[str, Value]) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        status=Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        trace_state=span.trace_state,
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        resource=resource,
    )


def _values(pairs: Iterable[KeyValue]) -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case other:
            raise AssertionError(f"an attribute of an unexpected kind: {other}")


class MetricsReceiver(_GrpcListener, MetricsServiceServicer):
    """An OTLP receiver of metrics over gRPC on a port of its own choice; what came last is what counts."""

    def __init__(self) -> None:
        self.metrics: dict[str, Metric] = {}
        self.resource: Mapping[str, Value] = {}
        self.arrived = asyncio.Event()

    def _add_to(self, server: grpc.aio.Server) -> None:
        # Generated without annotations.
        add_MetricsServiceServicer_to_server(self, server)  # type: ignore[no-untyped-call]

    async def Export(
        self,
        request: ExportMetricsServiceRequest,
        context: grpc.aio.ServicerContext[ExportMetricsServiceRequest, ExportMetricsServiceResponse],
    ) -> ExportMetricsServiceResponse:
        for of_resource in request.resource_metrics:
            self.resource = _values(of_resource.resource.attributes)
            self.metrics = {
                metric.name: metric for scope in of_resource.scope_metrics for metric in scope.metrics
            }
        self.arrived.set()
        return ExportMetricsServiceResponse()
