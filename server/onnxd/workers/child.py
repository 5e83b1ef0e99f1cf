"""A worker: a process that serves. `python -m onnxd.workers.child PARENT_PID CHANNEL NUMBER`."""

import asyncio
import socket
import sys

import uvloop

from onnxd.runtime.child_limits import die_with_parent, show_name
from onnxd.runtime.memory import calm_collector
from onnxd.workers.worker import work


def main() -> None:
    parent, descriptor, number = map(int, sys.argv[1:])
    die_with_parent(parent)
    show_name(f"onnxd:worker{number}")
    calm_collector()
    channel = socket.socket(fileno=descriptor)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(work(number, channel))
    sys.exit(code)


if __name__ == "__main__":
    main()
