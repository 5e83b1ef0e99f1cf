"""The server with telemetry that goes on and off by turns, to compare one with the other in one process.

Started like `python -m onnxd`, with every request logged and one in a hundred traced. Each turn it appends a
line to the file that ONNXD_BENCH_TURNS names: the mode, CPU seconds of the process, and requests.

    untold    nothing is recorded or told of a request, which no setting can have
    default   as the server comes: histograms and counters, what is slow or fails, and no line for the others
    logged    the same, and a line for every request
    traced    the default, and traces
"""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

import onnxd.grpc_frontend.boundary
import onnxd.http_frontend.middleware
from onnxd.__main__ import main
from onnxd.scheduler.batcher import Batcher
from onnxd.telemetry.access import log_access, log_answered
from onnxd.telemetry.access_writer import AccessWriter
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.telemetry.tracing import Tracing

MODES: Final = ("untold", "default", "logged", "traced")
_SETTLE_S: Final = 1.3
"""Lines are written, and spans sent, up to a second after their time: what is left of the turn before."""
_MEASURE_S: Final = 2.0
_FILE: Final = "ONNXD_BENCH_TURNS"


class Switch:
    """What is switched. A request pays in every mode for being counted here."""

    def __init__(self) -> None:
        self.requests = 0
        self.tracings: list[Any] = []
        self._sends: dict[int, Any] = {}
        self._recorded = (ModelStatistics.record_run, ModelStatistics.record_batch, Tracing.passed)

    def install(self) -> None:
        """Count requests, and get hold of what is made."""
        take_in, begin = Batcher._take_in, Tracing.__init__

        def counted(*arguments: Any) -> Any:
            self.requests += 1
            return take_in(*arguments)

        def begun(tracing: Any, *arguments: Any, **more: Any) -> None:
            begin(tracing, *arguments, **more)
            self.tracings.append(tracing)
            self._sends[id(tracing)] = tracing._send

        _patch(Batcher, "_take_in", counted)
        _patch(Tracing, "__init__", begun)

    def turn(self, mode: str) -> None:
        """From now on it is this one."""
        quiet = mode == "untold"
        for module in (onnxd.http_frontend.middleware, onnxd.grpc_frontend.boundary):
            _patch(module, "log_access", _nothing if quiet else log_access)
            _patch(module, "log_answered", _nothing if quiet else log_answered)
        success, batch, passed = (_nothing, _nothing, _let_pass) if quiet else self._recorded
        _patch(ModelStatistics, "record_run", success)
        _patch(ModelStatistics, "record_batch", batch)
        _patch(Tracing, "passed", passed)
        for tracing in self.tracings:
            tracing._send = self._sends[id(tracing)] if mode == "traced" else None
        if AccessWriter.open_one is not None:
            AccessWriter.open_one.share = 1.0 if mode == "logged" else 0.0

    def run(self, file: Path) -> None:
        """Turn by turn, for ever; every other round the other way round."""
        forward = True
        while True:
            for mode in MODES if forward else reversed(MODES):
                self.turn(mode)
                time.sleep(_SETTLE_S)
                cpu_s, requests = time.process_time(), self.requests
                time.sleep(_MEASURE_S)
                line = [mode, time.process_time() - cpu_s, self.requests - requests]
                with file.open("a") as turns:
                    turns.write(json.dumps(line) + "\n")
            forward = not forward


def _patch(owner: object, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _let_pass(*_: Any, **__: Any) -> bool:
    """Nothing is kept of any request."""
    return True


def _nothing(*_: Any, **__: Any) -> str:
    return ""


if __name__ == "__main__":
    path = os.environ.pop(_FILE, "")  # the server knows no such setting
    switch = Switch()
    switch.install()
    if path:
        threading.Thread(target=switch.run, args=(Path(path),), daemon=True).start()
    main()
