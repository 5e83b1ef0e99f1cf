"""The process that a model runs in: `python -m onnxd.runtime.worker_child PARENT_PID ...`.

It is asked one thing at a time, over exchange.py: first to build a session and warm it up, then to run it. It
lives until its parent closes the socket, or ends.
"""

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from typing import Any, Final

from onnxd.errors import ModelUnavailable, ServerError
from onnxd.runtime import child_limits, exchange
from onnxd.runtime.memory import give_back
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.ort_errors import is_out_of_memory
from onnxd.runtime.parcel import unpack
from onnxd.runtime.shared_buffer import SharedBuffer
from onnxd.runtime.threads import cpu_budget
from onnxd.runtime.worker_messages import WorkerLoad, error_to_json, load_from_json
from onnxd.tensors import Array

STOP_BYTES: Final = 8
"""Of the number of a run that is to end early, on the pipe for that."""

_DIES_BEFORE_THE_SERVER: Final = 500
"""When the system ends processes for want of memory; those that only try models go first."""
_STOP_AGAIN_S: Final = 0.01

Reply = tuple[dict[str, Any], Mapping[str, Array]]


def main() -> None:
    """Serves until the parent closes the socket or ends."""
    parent, channel, stops, requests, answers, limit_bytes = map(int, sys.argv[1:])
    child_limits.no_core_dumps()
    child_limits.die_first(_DIES_BEFORE_THE_SERVER)
    child_limits.die_with_parent(parent)
    # They are sent to whole groups of processes; this one ends when the server has no more use for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker = _Worker()
    threading.Thread(target=worker.watch, args=(stops,), daemon=True).start()
    inbox = SharedBuffer(requests, writable=False)
    outbox = SharedBuffer(answers, writable=True, limit_bytes=limit_bytes)
    with socket.socket(fileno=channel) as parent_end:
        while wake_up := parent_end.recv(exchange.WAKE_UP_BYTES, socket.MSG_WAITALL):
            parent_end.sendall(worker.handle(wake_up, inbox, outbox))
            worker.refresh()


class _Worker:
    """The session, once it is built, and the run in progress."""

    def __init__(self) -> None:
        self._session: OnnxSession | None = None
        self._loaded: WorkerLoad | None = None
        self._finished = 0
        """The number of the last exchange that is over."""
        self._ran_out = False

    def handle(self, wake_up: bytes, inbox: SharedBuffer, outbox: SharedBuffer) -> bytes:
        """Does what is asked, and returns the wake-up of the answer."""
        number, document = exchange.read(inbox, wake_up)
        try:
            if "load" in document:
                load = load_from_json(document)
                child_limits.show_name(f"onnxd:{load.name}")
                child_limits.limit_memory(document["memory_bytes"])
                self._load(load)
                reply: Reply = {}, {}
            else:
                reply = self._run(number, document, inbox)
        except ServerError as error:
            reply = {"error": error_to_json(error)}, {}
        except Exception:  # the parent waits for an answer, and shows what is a bug of ours
            reply = {"error": ["", traceback.format_exc()]}, {}
        try:
            return exchange.write(outbox, number, *reply)
        except MemoryError as error:
            unavailable = ModelUnavailable(f"there is not enough memory to hand the outputs over: {error}")
            return exchange.write(outbox, number, {**reply[0], "error": error_to_json(unavailable)}, {})

    def refresh(self) -> None:
        """After a run that lacked memory: a new session, unless it has no arena.

        An arena that could not grow by so much takes what it can get for the next run, however little that
        needs, and no shrinkage brings it back: nothing is left for the rest of the process.
        """
        if self._ran_out and self._loaded is not None and self._loaded.model.session.memory_arena:
            self._session = None
            give_back()
            self._load(self._loaded)
        self._ran_out = False

    def watch(self, stops: int) -> None:
        """On a thread of its own: ends runs early, and the process when its parent has gone."""
        while len(number := os.read(stops, STOP_BYTES)) == STOP_BYTES:
            while self._finished < int.from_bytes(number, "little"):
                if self._session is not None:
                    self._session.terminate()
                time.sleep(_STOP_AGAIN_S)  # the run may not have begun when the first word came
        os._exit(1)

    def _load(self, load: WorkerLoad) -> None:
        model = load.model
        self._session = OnnxSession.open(model.path, model.session, model.threads or cpu_budget())
        for run, count in zip(model.warmup, load.counts, strict=True):
            for _ in range(count):
                self._session.run({name: blank.array() for name, blank in run.items()})
        self._loaded = load

    def _run(self, number: int, document: Mapping[str, Any], inbox: SharedBuffer) -> Reply:
        if self._session is None:
            raise RuntimeError("it was asked to run before it had a session")
        inputs = unpack(document[exchange.TENSORS], inbox, copy=False)
        outputs: Mapping[str, Array] = {}
        reply: dict[str, Any] = {"start_ns": time.monotonic_ns()}
        try:
            outputs = self._session.run(inputs, tuple(document["outputs"]))
        except ServerError as error:
            reply["error"] = error_to_json(error)
            self._ran_out = error.__cause__ is not None and is_out_of_memory(error.__cause__)
        finally:
            self._finished = number
            reply["end_ns"] = time.monotonic_ns()
        return reply, outputs


if __name__ == "__main__":
    main()
