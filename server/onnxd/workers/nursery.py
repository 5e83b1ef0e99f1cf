"""The process that workers are forked from: it has imported all that they need, and does nothing else.

A fork takes milliseconds where a start takes more than a second of CPU, so a worker that died is soon
replaced; and what was imported is in memory once. The supervisor forks it from itself before it runs a loop;
one that has to be replaced is started: `python -m onnxd.workers.nursery PARENT_PID SOCKET`.

It has one thread of its own, runs no loop and opens no session: what a fork would break is not there yet.
"""

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from typing import Final

import uvloop

from onnxd.runtime.child_limits import die_with_parent, show_name
from onnxd.runtime.memory import calm_collector
from onnxd.workers.worker import work

MOST_BYTES: Final = 4096
"""Of a message."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A nursery, for whoever has forked it."""

    pid: int
    orders: socket.socket
    """It is told there what to fork, and tells what has ended."""


def fork() -> Forked:
    """A nursery out of this process, which must not have a loop or a thread that does anything yet."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    pid = os.fork()
    if pid:
        theirs.close()
        return Forked(pid, ours)
    code = 1
    try:
        ours.close()
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.__stdin__.fileno() if sys.__stdin__ else 0)
        _begin(parent, theirs)
        code = 0
    finally:
        os._exit(code)


def main() -> None:
    parent, descriptor = map(int, sys.argv[1:])
    calm_collector()
    _begin(parent, socket.socket(fileno=descriptor))


def _begin(parent: int, orders: socket.socket) -> None:
    die_with_parent(parent)
    show_name("onnxd:nursery")
    for ended in (signal.SIGTERM, signal.SIGINT):
        # They come to the whole group of processes; the supervisor ends this one when it is time.
        signal.signal(ended, signal.SIG_IGN)
    serve(orders)


def serve(orders: socket.socket) -> None:
    """Fork a worker for each order, and tell of each that has ended, until the supervisor has gone. Another
    order is to close sockets that no further worker will need."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        readable, _, _ = select.select([orders.fileno(), woken], [], [])
        if woken in readable:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, MOST_BYTES)
            _reap(orders)
        if orders.fileno() in readable:
            data, descriptors, _, _ = socket.recv_fds(orders, MOST_BYTES, 1)
            if not data:
                return
            order = json.loads(data)
            if "close" in order:
                for unneeded in order["close"]:
                    os.close(unneeded)
                continue
            number = int(order["number"])
            nursery = os.getpid()
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                for unneeded in (woken, wake):
                    os.close(unneeded)
                orders.close()
                os._exit(_live(nursery, number, socket.socket(fileno=descriptors[0])))
            os.close(descriptors[0])
            orders.send(json.dumps({"number": number, "pid": pid}).encode())


def _reap(orders: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            orders.send(json.dumps({"pid": ended[0], "code": code}).encode())


def _live(nursery: int, number: int, channel: socket.socket) -> int:
    """A worker's life, in the child. The exit code."""
    try:
        die_with_parent(nursery)
        show_name(f"onnxd:worker{number}")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work(number, channel))
    except BaseException:  # nothing of the nursery's may run on in a worker
        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()


if __name__ == "__main__":
    main()
