"""What it costs to send answers one by one, and one right after the other.

    python -m benchmarks.bursts [--rounds N]

A process on a core of its own waits on 64 connections and answers at once. To 23 of them something is sent,
with so many microseconds of work before each ("spread") or with all of that work before the first ("burst").
The figure is the time of one `send`, the mean of all but the longest twentieth, the median of the rounds.
"""

import argparse
import multiprocessing
import os
import select
import socket
import sys
import time
from collections import defaultdict
from statistics import fmean, median
from typing import Final

from benchmarks.harness import LOAD_CORE, SERVER_CORE
from benchmarks.table import show

_CONNECTIONS: Final = 64
_TOGETHER: Final = 23
_GAPS_US: Final = (5, 15, 25)
_ANSWER: Final = b"x" * 300
_BURSTS: Final = 300
_PAUSE_US: Final = 200
_JOIN_S: Final = 10.0


def answer(port: int) -> None:
    """Send back what comes, until the other side closes."""
    os.sched_setaffinity(0, {LOAD_CORE})
    poll = select.epoll()
    open_: dict[int, socket.socket] = {}
    for _ in range(_CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        open_[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
    while open_:
        for number, _ in poll.poll():
            data = open_[number].recv(4096)
            if data:
                open_[number].send(data)
            else:
                open_.pop(number).close()


def work(us: int) -> None:
    """Use the processor for so long."""
    ends_ns = time.perf_counter_ns() + us * 1000
    while time.perf_counter_ns() < ends_ns:
        pass


def send_us(connections: list[socket.socket], gap_us: int, *, burst: bool) -> float:
    """Microseconds of one send."""
    spent_ns: list[int] = []
    for _ in range(_BURSTS):
        if burst:
            work(gap_us * len(connections))
        for connection in connections:
            if not burst:
                work(gap_us)
            begun_ns = time.perf_counter_ns()
            connection.send(_ANSWER)
            spent_ns.append(time.perf_counter_ns() - begun_ns)
        work(_PAUSE_US)
        for connection in connections:
            connection.recv(4096)
    usual = sorted(spent_ns)[: len(spent_ns) * 19 // 20]
    return fmean(usual) / 1e3


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=_CONNECTIONS) as listener:
        client = multiprocessing.get_context("spawn").Process(
            target=answer, args=(listener.getsockname()[1],), daemon=True
        )
        client.start()
        connections = [listener.accept()[0] for _ in range(_CONNECTIONS)]
    os.sched_setaffinity(0, {SERVER_CORE})
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found: defaultdict[tuple[int, bool], list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for gap_us in _GAPS_US:
            for burst in (False, True):
                found[gap_us, burst].append(send_us(connections[:_TOGETHER], gap_us, burst=burst))
    for connection in connections:
        connection.close()
    client.join(_JOIN_S)
    rows = [
        [f"{gap_us}", f"{median(found[gap_us, False]):.1f}", f"{median(found[gap_us, True]):.1f}"]
        for gap_us in _GAPS_US
    ]
    show("us of one send", ["us of work before each", "spread", "burst"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
