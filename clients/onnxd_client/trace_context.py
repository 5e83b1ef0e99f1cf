"""The caller's trace, as W3C headers, when the OpenTelemetry API is installed."""

from collections.abc import Mapping

try:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:

    def trace_headers() -> Mapping[str, str]:
        """Nothing: there is no tracing in this process."""
        return {}

else:
    # The W3C form by name, not the process's chosen propagator: it is the one that this protocol's servers
    # read, and baggage is not theirs to see.
    _PROPAGATOR = TraceContextTextMapPropagator()

    def trace_headers() -> Mapping[str, str]:
        """traceparent and tracestate of the current span; empty without one."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier
