"""Spans by OTLP over gRPC: the SDK's exporter, with an encoding of ours.

Imported only when traces are sent that way.
"""

from collections.abc import Sequence
from typing import Any, cast

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExportResult

from onnxd.telemetry.attributes import AttributeValue
from onnxd.telemetry.span_encoding import SpanEncoder
from onnxd.telemetry.spans import EndedSpan


class GrpcSpanExporter:
    """The connection, what is tried again and when it is given up are the SDK's."""

    def __init__(self, resource: Resource, scope: tuple[str, str], **connection: Any) -> None:
        """`connection`: what OTLPSpanExporter takes."""
        # An attribute of a resource may also be a sequence; of ours none is.
        attributes = cast(dict[str, AttributeValue], dict(resource.attributes))
        self._exporter = _Exporter(SpanEncoder(attributes, scope), **connection)

    def export(self, spans: Sequence[EndedSpan]) -> SpanExportResult:
        return self._exporter.export(cast(Any, spans))

    def shutdown(self) -> None:
        self._exporter.shutdown()


class _Exporter(OTLPSpanExporter):
    def __init__(self, encoder: SpanEncoder, **connection: Any) -> None:
        super().__init__(**connection)
        self._encoder = encoder

    def _translate_data(self, data: Sequence[Any]) -> ExportTraceServiceRequest:
        return self._encoder.request(data)
