"""Spans on the wire: the same as the SDK makes of them, but for its form of a span in between."""

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from onnxd.telemetry.span_encoding import SpanEncoder
from onnxd.telemetry.span_sender import readable
from onnxd.telemetry.spans import EndedSpan, context_of

_SERVER = context_of(0x0102 << 96, 7)
_CALLER = SpanContext(2**128 - 1, 2**64 - 1, is_remote=True, trace_flags=TraceFlags(1))


def _span(**more: object) -> EndedSpan:
    plain: dict[str, object] = {
        "name": "onnxd.infer", "context": _SERVER, "parent": None, "kind": SpanKind.SERVER,
        "start_ns": 1_700_000_000_000_000_000, "end_ns": 1_700_000_000_000_000_001, "attributes": {},
    }  # fmt: skip
    return EndedSpan(**{**plain, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "span",
    [
        pytest.param(_span(), id="plain"),
        pytest.param(_span(parent=_CALLER), id="of a caller elsewhere"),
        pytest.param(_span(parent=_SERVER, kind=SpanKind.INTERNAL), id="below one of ours"),
        pytest.param(
            _span(attributes={"a": "é", "b": 1, "c": True, "d": 0.5, "e": -1}), id="with attributes"
        ),
        pytest.param(_span(attributes={"a": 1, "b": True, "c": 1.0}), id="whose values are equal"),
        pytest.param(
            _span(attributes={"a": "x" * 5000, "b": "\udcff"}), id="with text that is not sent as it is"
        ),
        pytest.param(_span(links=[Link(_SERVER), Link(_CALLER)]), id="with links"),
        pytest.param(_span(links=[Link(_SERVER)] * 300), id="with many links"),
        pytest.param(_span(status=Status(StatusCode.ERROR, "why")), id="that failed"),
        pytest.param(
            _span(context=context_of(1, 2, TraceState([("k", "v"), ("l", "w")]))), id="with a state"
        ),
    ],
)
def test_a_span_is_sent_as_the_sdk_sends_it(span: EndedSpan) -> None:
    resource, scope = Resource({"service.name": "s", "process.pid": 4}), ("onnxd", "1.0")
    theirs = encode_spans([readable(span, resource, InstrumentationScope(*scope))] * 2)
    ours = SpanEncoder({"service.name": "s", "process.pid": 4}, scope).request([span] * 2)
    assert ours == theirs
