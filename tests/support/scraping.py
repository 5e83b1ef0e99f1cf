"""Metrics as a scraper reads them."""

from dataclasses import dataclass
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer, read by prometheus_client's parser."""

    samples: dict[str, dict[Labels, float]]
    """By name and labels."""

    @classmethod
    def of(cls, text: str) -> Self:
        written = {line.partition("{")[0].partition(" ")[0] for line in text.splitlines()}
        samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                # The parser puts a counter's suffix behind Triton's names too.
                name = sample.name if sample.name in written else sample.name.removesuffix("_total")
                series = samples.setdefault(name, {})
                labels = frozenset(sample.labels.items())
                assert labels not in series, f"{name} has two samples for {dict(labels)}"
                series[labels] = sample.value
        return cls(samples)

    def value(self, name: str, **labels: str) -> float:
        """Of the one sample that has these labels, whatever others it has."""
        [value] = [value for found, value in self.samples.get(name, {}).items() if found >= labels.items()]
        return value

    def counts(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """By the value of one label, of the samples that have the others; what is 0 is left out."""
        return {
            dict(found)[label]: value
            for found, value in self.samples[name].items()
            if found >= labels.items() and value
        }

    def series(self, **labels: str) -> set[tuple[str, Labels]]:
        """Everything there is that has these labels."""
        return {
            (name, found)
            for name, samples in self.samples.items()
            for found in samples
            if found >= labels.items()
        }
