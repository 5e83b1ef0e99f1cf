"""Ended spans in the form that OTLP has for them on the wire (opentelemetry/proto/trace/v1/trace.proto).

The SDK makes it as well, message by message, and takes longer for one traced request than the server takes
for four whole requests. Nearly all attributes are the same in span after span: their bytes are kept.
"""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status
from opentelemetry.trace import SpanContext, SpanKind, StatusCode

from onnxd.telemetry.attributes import AttributeValue, printable
from onnxd.telemetry.spans import EndedSpan

_MOST_KEPT: Final = 1024
_LONGEST_KEPT: Final = 256
"""Characters: clients write some of the values, and what is kept is bounded."""
_FLAGS: Final = {
    remote: SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
    | (SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK if remote else 0)
    for remote in (False, True)
}
_KINDS: Final = {SpanKind.INTERNAL: Span.SPAN_KIND_INTERNAL, SpanKind.SERVER: Span.SPAN_KIND_SERVER}
_CODES: Final = {
    StatusCode.UNSET: Status.STATUS_CODE_UNSET,
    StatusCode.OK: Status.STATUS_CODE_OK,
    StatusCode.ERROR: Status.STATUS_CODE_ERROR,
}
_IDS: Final = struct.Struct(">2s16s2s8s")
"""The tags and lengths of the trace's and the span's identifier, and both; in a link as in a span."""
_REST: Final = struct.Struct("<BQBQHI")
"""Start, end, and flags, each behind its tag."""
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_START, _END, _FLAGS_OF_SPAN = 0x39, 0x41, 0x0185  # 16 << 3 | 5 as a varint, in the order of its bytes
_LINK: Final = struct.Struct("<2s2s16s2s8sBI")
_LINK_TAG, _FLAGS_OF_LINK, _SPANS = b"\x6a\x21", 0x35, b"\x12"


class SpanEncoder:
    """For the spans of one server."""

    def __init__(self, resource: Mapping[str, AttributeValue], scope: tuple[str, str]) -> None:
        """`resource` says who sends. `scope`: name and version of what made the spans."""
        self._resource = Resource(attributes=[_pair(key, value) for key, value in resource.items()])
        self._scope = InstrumentationScope(name=scope[0], version=scope[1])

    def request(self, spans: Iterable[EndedSpan]) -> ExportTraceServiceRequest:
        """All of them in one message."""
        encoded = map(_span, spans)
        request = ExportTraceServiceRequest()
        ours = request.resource_spans.add(resource=self._resource).scope_spans.add(scope=self._scope)
        ours.MergeFromString(b"".join([_head(len(span)) + span for span in encoded]))
        return request


def _span(span: EndedSpan) -> bytes:
    context, parent, status = span.context, span.parent, span.status
    trace_id = context.trace_id
    parts = [
        _IDS.pack(_TRACE_ID, trace_id.to_bytes(16, "big"), _SPAN_ID, context.span_id.to_bytes(8, "big")),
        _named(span.name, span.kind),
        _REST.pack(
            _START, span.start_ns, _END, span.end_ns, _FLAGS_OF_SPAN,
            _FLAGS[parent is not None and parent.is_remote],
        ),
    ]  # fmt: skip
    if parent is not None:
        parts.append(_PARENT_ID + parent.span_id.to_bytes(8, "big"))
    if span.attributes:
        parts.extend(
            [
                _kept_attribute(key, value)
                if type(value) is not str or len(value) <= _LONGEST_KEPT
                else _attribute(key, value)
                for key, value in span.attributes.items()
            ]
        )
    if span.links:
        parts.extend([_link(link.context) for link in span.links])
    if status.status_code is not StatusCode.UNSET or context.trace_state:
        parts.append(
            Span(
                trace_state=context.trace_state.to_header(),
                status=Status(code=_CODES[status.status_code], message=status.description or ""),
            ).SerializeToString()
        )
    return b"".join(parts)


def _link(context: SpanContext) -> bytes:
    trace_id, span_id = context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
    return _LINK.pack(
        _LINK_TAG, _TRACE_ID, trace_id, _SPAN_ID, span_id, _FLAGS_OF_LINK, _FLAGS[context.is_remote]
    )


@lru_cache(maxsize=_MOST_KEPT)
def _named(name: str, kind: SpanKind) -> bytes:
    return Span(name=name, kind=_KINDS[kind], status=Status()).SerializeToString()


def _attribute(key: str, value: AttributeValue) -> bytes:
    """As a field of a span."""
    return Span(attributes=[_pair(key, value)]).SerializeToString()


_kept_attribute: Final = lru_cache(maxsize=_MOST_KEPT, typed=True)(_attribute)


def _pair(key: str, value: AttributeValue) -> KeyValue:
    value = printable(value)
    match value:
        case bool():
            encoded = AnyValue(bool_value=value)
        case int():
            encoded = AnyValue(int_value=value)
        case float():
            encoded = AnyValue(double_value=value)
        case _:
            encoded = AnyValue(string_value=value)
    return KeyValue(key=key, value=encoded)


@lru_cache(maxsize=_MOST_KEPT)
def _head(number: int) -> bytes:
    """Of a span of so many bytes: its tag, and its length as a varint."""
    encoded = bytearray(_SPANS)
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
