"""The process that reads large JSON: `python -m onnxd.http_frontend.json_child PARENT_PID`.

Takes pickled calls (function, arguments) on its standard input and answers on its standard output, one at a
time, until the input ends. Both sides run our own code alone: what strangers sent is an argument.
"""

import gc
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Any, BinaryIO, Final

from onnxd.errors import PayloadTooLarge, ServerError
from onnxd.runtime import child_limits
from onnxd.runtime.memory import give_back

LENGTH_BYTES: Final = 8
_CPU_S: Final = 20.0


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this one
    child_limits.no_core_dumps()
    child_limits.die_with_parent(int(sys.argv[1]))
    child_limits.die_first()
    gc.disable()  # plain JSON has no cycles, and each collection would walk millions of new objects
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while head := calls.read(LENGTH_BYTES):
        # No bound on memory: at one, orjson does not fail but runs for ever.
        child_limits.limit_cpu(_CPU_S)
        for part in _answer(calls.read(int.from_bytes(head, "big"))):
            _write(answers, part)
        answers.flush()
        del part
        give_back()


def _answer(call: bytes) -> Sequence[Any]:
    """The outcome, pickled, behind the number of arrays that it leaves out; then the bytes of each."""
    try:
        work, args, kwargs = pickle.loads(call)  # noqa: S301 -- from the server, which started this
        del call
        outcome: object = work(*args, **kwargs)
    except ServerError as error:
        outcome = error
    except MemoryError:
        outcome = PayloadTooLarge(
            "the JSON takes more memory to read than there is for it; send large tensors as binary data"
        )
    except Exception:  # whatever it is, it is a bug of ours, which the server logs
        outcome = RuntimeError(traceback.format_exc())
    arrays: list[pickle.PickleBuffer] = []
    document = pickle.dumps(outcome, protocol=5, buffer_callback=arrays.append)
    return len(arrays).to_bytes(LENGTH_BYTES, "big") + document, *(array.raw() for array in arrays)


def _write(stream: BinaryIO, part: bytes | memoryview) -> None:
    stream.write(len(part).to_bytes(LENGTH_BYTES, "big"))
    stream.write(part)


if __name__ == "__main__":
    main()
