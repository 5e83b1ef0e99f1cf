"""In which form a scraper is answered. To choose it, what writes it (exposition.py) is not needed."""

from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_CONTENT_TYPE: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_MOST_ACCEPTED: Final = 32
"""Media types that are looked at in an `Accept`."""


def wants_openmetrics(accept: str) -> bool:
    """Whether a request with this `Accept` is to be answered in OpenMetrics."""
    weights = {"openmetrics": 0.0, "text": 0.0}
    for part in accept.lower().split(",")[:_MOST_ACCEPTED]:
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                weight = _weight(parameter[2:])
        if media == "application/openmetrics-text":
            weights["openmetrics"] = max(weights["openmetrics"], weight)
        elif media in ("text/plain", "text/*", "*/*"):
            weights["text"] = max(weights["text"], weight)
    return weights["openmetrics"] > 0 and weights["openmetrics"] >= weights["text"]


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
