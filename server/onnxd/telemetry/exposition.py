"""The metrics as Prometheus reads them: the text format 0.0.4.

prometheus_client writes ours. Triton's are written here, because it puts `_total` behind every counter and
Triton's dashboards ask for names without.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from onnxd.telemetry.histogram import HistogramSnapshot
from onnxd.telemetry.instruments import (
    SERVER_INSTRUMENTS,
    VERSION_INSTRUMENTS,
    VERSION_LABELS,
    Instrument,
    Kind,
    Number,
    Reading,
)
from onnxd.telemetry.observation import Observation

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_KINDS: Final = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


@dataclass(frozen=True, slots=True)
class _Family:
    """An instrument with what it says now."""

    instrument: Instrument[Any]
    labels: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], Number | HistogramSnapshot], ...]
    """The values of the labels, and the value."""


def exposition(seen: Observation) -> bytes:
    """Everything there is to tell. Takes milliseconds where hundreds of versions serve."""
    families = tuple(_families(seen))
    triton = "".join(line for family in families if family.instrument.triton for line in _lines(family))
    ours = _Families(family for family in families if not family.instrument.triton)
    return triton.encode() + generate_latest(ours)


class _Families(Collector):
    """What prometheus_client asks for the values."""

    def __init__(self, families: Iterable[_Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self._families)


def _families(seen: Observation) -> Iterator[_Family]:
    for of_version in VERSION_INSTRUMENTS:
        samples = tuple(
            sample
            for version in seen.versions
            for sample in _samples((version.model, str(version.version)), of_version.read(version))
        )
        yield _Family(of_version, VERSION_LABELS + of_version.labels, samples)
    for of_server in SERVER_INSTRUMENTS:
        yield _Family(of_server, of_server.labels, tuple(_samples((), of_server.read(seen))))


def _samples(
    labels: tuple[str, ...], reading: Reading
) -> Iterator[tuple[tuple[str, ...], Number | HistogramSnapshot]]:
    match reading:
        case None:
            return
        case int() | float() | HistogramSnapshot():
            yield labels, reading
        case _:
            for more, value in reading.items():
                yield labels + more, value


def _metric(family: _Family) -> Metric:
    instrument = family.instrument
    # Any: each kind of family takes values of its own.
    metric: Any = _KINDS[instrument.kind](instrument.name, instrument.help, labels=family.labels)
    bounds = [*map(floatToGoString, instrument.buckets), "+Inf"]
    for labels, value in family.samples:
        if isinstance(value, HistogramSnapshot):
            buckets = list(zip(bounds, value.cumulative(), strict=True))
            metric.add_metric(labels, buckets, value.total / instrument.per_unit)
        else:
            metric.add_metric(labels, value)
    return cast(Metric, metric)


def _lines(family: _Family) -> Iterator[str]:
    instrument = family.instrument
    yield f"# HELP {instrument.name} {instrument.help}\n# TYPE {instrument.name} {instrument.kind.value}\n"
    for labels, value in family.samples:
        pairs = ",".join(
            f'{name}="{_escaped(text)}"' for name, text in zip(family.labels, labels, strict=True)
        )
        yield f"{instrument.name}{{{pairs}}} {value}\n" if pairs else f"{instrument.name} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
