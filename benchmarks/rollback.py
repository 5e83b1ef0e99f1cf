"""How long it takes to go back to what served before, with a large model.

    python -m benchmarks.rollback [--short] [--mib N]

A model of 100 MiB is published, and another in its place; then the server is started again. The clock starts
before the load call that asks for the rollback, over a connection of its own, and stops when the model that
served before has answered. The first rollback after a start goes to what this process of the server has
never loaded; the second takes it back. Exits 1 when one took more than a second.
"""

import argparse
import http.client
import json
import sys
import time
from statistics import median
from typing import Final

from benchmarks import models
from benchmarks.harness import Running, scratch, server
from benchmarks.payloads import ask_http, payload
from benchmarks.table import show

LIMIT_S: Final = 1.0
_NAME: Final = "large"
_WIDTH: Final = 784
_ASKED: Final = payload("http json", _NAME, _WIDTH)
_GIVE_UP_S: Final = 60.0
_POLL_S: Final = 0.02


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="one start, not five")
    parser.add_argument("--mib", type=int, default=100)
    options = parser.parse_args()
    first, second = measure(options.mib, 1 if options.short else 5)
    show(
        f"seconds until a model of {options.mib} MiB that served before answers",
        ["rollback", "number", "median", "worst"],
        [
            [kind, str(len(times)), f"{median(times):.2f}", f"{max(times):.2f}"]
            for kind, times in (("the first after a start", first), ("the next", second))
        ],
    )
    worst_s = max(*first, *second)
    print(f"worst: {worst_s:.2f} s (at most {LIMIT_S} s)")
    if worst_s > LIMIT_S:
        print("MISS: a rollback took longer")
        return 1
    return 0


def measure(mib: int, starts: int) -> tuple[list[float], list[float]]:
    """Seconds of the first rollback after each start, and of the second."""
    hidden = int((mib * 2**18) ** 0.5) - _WIDTH // 2
    first, second = [], []
    with scratch() as directory:
        repository, state = directory / "models", directory / "state"
        repository.mkdir()
        with server(repository, state) as running:
            for seed in range(2):
                before = _answer(running)
                models.publish(repository, _NAME, models.mlp(seed, (_WIDTH, hidden, hidden, 10)))
                _wait_for_another(running, before)
        for _ in range(starts):
            with server(repository, state) as running:
                _wait_for_another(running, b"")
                first.append(_roll_back(running))
                second.append(_roll_back(running))
    return first, second


def _roll_back(running: Running) -> float:
    before = _answer(running)
    start_s = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", running.http_port, timeout=_GIVE_UP_S)
    try:
        body = json.dumps({"parameters": {"onnxd_rollback": True}})
        connection.request("POST", f"/v2/repository/models/{_NAME}/load", body)
        answer = connection.getresponse()
        if answer.status != 200:
            raise RuntimeError(f"it was not rolled back: {answer.read().decode()}")
    finally:
        connection.close()
    if _answer(running) in (b"", before):
        raise RuntimeError("it was rolled back, and answers as before")
    return time.monotonic() - start_s


def _answer(running: Running) -> bytes:
    """Of the model that serves; empty while none does."""
    status, body = ask_http(running.http_port, _ASKED)
    return body if status == 200 else b""


def _wait_for_another(running: Running, before: bytes) -> None:
    deadline_s = time.monotonic() + _GIVE_UP_S
    while _answer(running) in (b"", before):
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"'{_NAME}' did not answer within {_GIVE_UP_S} s")
        time.sleep(_POLL_S)


if __name__ == "__main__":
    sys.exit(main())
