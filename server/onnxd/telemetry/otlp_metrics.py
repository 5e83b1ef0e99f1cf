"""The metrics as OTLP has them, made from the same table as Prometheus' text.

Imported only when metrics are sent somewhere: this is where OpenTelemetry's SDK comes in.
"""

import time
from collections.abc import Iterator
from typing import Final, cast

from opentelemetry.sdk.metrics import Exemplar as OtlpExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from onnxd.telemetry.exposition import Family, families
from onnxd.telemetry.histogram import HistogramSnapshot
from onnxd.telemetry.identity import IdentityConfig
from onnxd.telemetry.instrument import Kind
from onnxd.telemetry.observation import Observation
from onnxd.telemetry.otlp import resource_of

_UNITS: Final = {"seconds": "s", "bytes": "By", "microseconds": "us"}
"""As UCUM writes them; counted things are written in braces."""
_UNKNOWN: Final = cast(float, None)
"""Leaves an optional number out, which the SDK's annotations do not provide for."""
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE


class MetricsForm:
    """The form of one server's metrics."""

    def __init__(self, service_name: str, version: str, identity: IdentityConfig | None = None) -> None:
        self._resource = resource_of(service_name, version, identity)
        self._scope = InstrumentationScope("onnxd", version)
        self._started_ns = time.time_ns()

    def of(self, seen: Observation) -> MetricsData:
        """All that an observation has to tell."""
        now_ns = time.time_ns()
        metrics = [
            metric
            for family in families(seen)
            if (metric := _metric(family, self._started_ns, now_ns)) is not None
        ]
        scopes = [ScopeMetrics(self._scope, metrics, "")]
        return MetricsData([ResourceMetrics(self._resource, scopes, "")])


def _metric(family: Family, started_ns: int, now_ns: int) -> Metric | None:
    instrument = family.instrument
    if not family.samples:
        return None
    data: Sum | Gauge | Histogram
    if instrument.kind is Kind.HISTOGRAM:
        data = Histogram(list(_histograms(family, started_ns, now_ns)), _CUMULATIVE)
    else:
        points = [
            NumberDataPoint(dict(zip(family.labels, labels, strict=True)), started_ns, now_ns, value)
            for labels, value in family.samples
            if not isinstance(value, HistogramSnapshot)
        ]
        data = Gauge(points) if instrument.kind is Kind.GAUGE else Sum(points, _CUMULATIVE, is_monotonic=True)
    unit = _UNITS.get(instrument.unit, f"{{{instrument.unit}}}" if instrument.unit else "1")
    return Metric(instrument.name, instrument.help, unit, data)


def _histograms(family: Family, started_ns: int, now_ns: int) -> Iterator[HistogramDataPoint]:
    instrument = family.instrument
    for labels, value in family.samples:
        if not isinstance(value, HistogramSnapshot):
            continue
        exemplars = [
            OtlpExemplar(
                {},
                found.value / instrument.per_unit,
                round(found.at_s * 1e9),
                span_id=int(found.span_id, 16),
                trace_id=int(found.trace_id, 16),
            )
            for found in family.exemplars.get(labels, {}).values()
        ]
        yield HistogramDataPoint(
            attributes=dict(zip(family.labels, labels, strict=True)),
            start_time_unix_nano=started_ns,
            time_unix_nano=now_ns,
            count=value.count,
            sum=value.total / instrument.per_unit,
            bucket_counts=value.counts,
            explicit_bounds=instrument.buckets,
            min=_UNKNOWN,
            max=_UNKNOWN,
            exemplars=exemplars,
        )
