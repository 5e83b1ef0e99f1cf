"""The server without anything that is recorded or told of a request, to compare with what telemetry costs.

Started like `python -m onnxd`. Histograms and counters, the access log, the slow ones and the errors cannot
be switched off as a whole; here they are.
"""

from typing import Any

import onnxd.grpc_frontend.boundary
import onnxd.http_frontend.middleware
from onnxd.__main__ import main
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.telemetry.tracing import Tracing


def _nothing(*_: Any, **__: Any) -> str:
    return ""


def tell_nothing() -> None:
    """Record nothing of any request."""
    onnxd.http_frontend.middleware.log_access = _nothing  # type: ignore[assignment, attr-defined]
    onnxd.grpc_frontend.boundary.log_access = _nothing  # type: ignore[assignment, attr-defined]
    Tracing.finish = _nothing  # type: ignore[method-assign]
    ModelStatistics.record_success = _nothing  # type: ignore[assignment, method-assign]
    ModelStatistics.record_batch = _nothing  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    tell_nothing()
    main()
