"""The metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0, which has exemplars.

prometheus_client writes ours. Triton's are written here, because it puts `_total` behind every counter and
Triton's dashboards ask for names without. OpenMetrics has no counters of such names, so there their type is
`unknown`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from prometheus_client import generate_latest
from prometheus_client import samples as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics_form
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from onnxd.telemetry.exemplars import Exemplar, OfHistogram
from onnxd.telemetry.histogram import HistogramSnapshot
from onnxd.telemetry.instrument import Instrument, Kind, Number, Reading
from onnxd.telemetry.instruments import SERVER_INSTRUMENTS, VERSION_INSTRUMENTS, VERSION_LABELS
from onnxd.telemetry.observation import Observation

_openmetrics: Final[Callable[[Collector], bytes]] = openmetrics_form.generate_latest
_KINDS: Final = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


@dataclass(frozen=True, slots=True)
class Family:
    """An instrument with what it says now."""

    instrument: Instrument[Any]
    labels: tuple[str, ...]
    samples: tuple[tuple[tuple[str, ...], Number | HistogramSnapshot], ...]
    """The values of the labels, and the value."""
    exemplars: Mapping[tuple[str, ...], OfHistogram] = field(default_factory=dict)
    """Of histograms, by the values of the labels."""


def exposition(seen: Observation, *, openmetrics: bool = False) -> bytes:
    """Everything there is to tell. Takes milliseconds where hundreds of versions serve."""
    everything = tuple(families(seen))
    triton = "".join(
        line
        for family in everything
        if family.instrument.triton
        for line in _lines(family, openmetrics=openmetrics)
    )
    ours = _Families(family for family in everything if not family.instrument.triton)
    return triton.encode() + (_openmetrics(ours) if openmetrics else generate_latest(ours))


class _Families(Collector):
    """What prometheus_client asks for the values."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return map(_metric, self._families)


def families(seen: Observation) -> Iterator[Family]:
    """Every instrument with its values, whatever form they are told in."""
    for of_version in VERSION_INSTRUMENTS:
        samples = tuple(
            sample
            for version in seen.versions
            for sample in _samples((version.model, str(version.version)), of_version.read(version))
        )
        exemplars: dict[tuple[str, ...], OfHistogram] = {
            (model, str(version)): histograms[of_version.exemplars]
            for (model, version), histograms in seen.exemplars.items()
            if of_version.exemplars in histograms
        }
        yield Family(of_version, VERSION_LABELS + of_version.labels, samples, exemplars)
    for of_server in SERVER_INSTRUMENTS:
        yield Family(of_server, of_server.labels, tuple(_samples((), of_server.read(seen))))


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


def _metric(family: Family) -> Metric:
    instrument = family.instrument
    # Any: each kind of family takes values of its own.
    metric: Any = _KINDS[instrument.kind](instrument.name, instrument.help, labels=family.labels)
    bounds = [*map(floatToGoString, instrument.buckets), "+Inf"]
    for labels, value in family.samples:
        if isinstance(value, HistogramSnapshot):
            found = family.exemplars.get(labels, {})
            buckets: list[Any] = [
                (bound, count, _exemplar(found[place], instrument)) if place in found else (bound, count)
                for place, (bound, count) in enumerate(zip(bounds, value.cumulative(), strict=True))
            ]
            metric.add_metric(labels, buckets, value.total / instrument.per_unit)
        else:
            metric.add_metric(labels, value)
    return cast(Metric, metric)


def _exemplar(exemplar: Exemplar, instrument: Instrument[Any]) -> prometheus.Exemplar:
    labels = {"trace_id": exemplar.trace_id}
    return prometheus.Exemplar(labels, exemplar.value / instrument.per_unit, round(exemplar.at_s, 3))


def _lines(family: Family, *, openmetrics: bool) -> Iterator[str]:
    instrument = family.instrument
    kind = "unknown" if openmetrics and instrument.kind is Kind.COUNTER else instrument.kind.value
    yield f"# HELP {instrument.name} {instrument.help}\n# TYPE {instrument.name} {kind}\n"
    for labels, value in family.samples:
        pairs = ",".join(
            f'{name}="{_escaped(text)}"' for name, text in zip(family.labels, labels, strict=True)
        )
        yield f"{instrument.name}{{{pairs}}} {value}\n" if pairs else f"{instrument.name} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
