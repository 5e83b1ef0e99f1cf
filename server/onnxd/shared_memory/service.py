"""Shared memory as the server offers it: who may use it, how much at a time, and on which thread."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Final, TypeVar

from onnxd.errors import DeadlineExceeded, PayloadTooLarge, PermissionDenied, Unavailable
from onnxd.messages import InferRequest, InferResponse, Principal
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.shared_memory import RegionRow, Registration, unknown_region
from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.shared_memory.held import Held
from onnxd.shared_memory.regions import Regions

ON_LOOP_BYTES: Final = 256 * 2**10
"""Up to this size the hop to a thread and back costs more than copying."""
_THREADS: Final = 2

_A = TypeVar("_A")
_T = TypeVar("_T")


class SharedMemory:
    """A context manager. Switched off, it need not be entered: it refuses, and has nothing.

    Belongs to the loop's thread; copies of much are made on threads of its own.
    """

    def __init__(
        self, config: SharedMemoryConfig, limits: ProtocolLimits | None = None, *, owner: int | None = None
    ) -> None:
        """`owner` is the user whose objects may be registered; None = the one that the server runs as."""
        self._config = config
        self._limits = limits or ProtocolLimits()
        self._regions = Regions(config, owner=owner)
        self._threads = ThreadPoolExecutor(_THREADS, "onnxd-shared-memory")
        self._copied_bytes = 0
        self._resources = ExitStack()

    def __enter__(self) -> "SharedMemory":
        """Raises SharedMemoryUnavailable."""
        if self.enabled:
            self._resources.enter_context(self._regions)
        # Entered last, left first: a copy in progress has its files.
        self._resources.enter_context(self._threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def enabled(self) -> bool:
        return self._config.enabled

    # Regions. Switched off there are none: asking and forgetting are no mistakes, clients begin with both.

    def register(self, principal: Principal, name: str, wanted: Registration, *, local: bool) -> None:
        """Raises PermissionDenied, and what Regions.register does."""
        self.admit(local=local)
        self._regions.register(principal, name, wanted)

    def status(self, principal: Principal, name: str | None, *, local: bool) -> tuple[RegionRow, ...]:
        """One region, or with None all of them. Raises NotFound, PermissionDenied."""
        if self.enabled:
            self.admit(local=local)
            return self._regions.status(principal, name)
        if name is not None:
            raise unknown_region(name)
        return ()

    def unregister(self, principal: Principal, name: str | None, *, local: bool) -> None:
        """Forget one region, or with None all of them. Raises PermissionDenied."""
        if self.enabled:
            self.admit(local=local)
            self._regions.unregister(principal, name)

    def admit(self, *, local: bool) -> None:
        """Raises PermissionDenied when shared memory is switched off, or not for such a caller."""
        if not self.enabled:
            raise PermissionDenied(
                "shared memory is switched off on this server (the setting shared_memory.enabled); send the "
                "tensors in the request"
            )
        if self._config.local_only and not local:
            raise PermissionDenied(
                "shared memory is for clients on the server's own machine, which call a loopback address "
                "(the setting shared_memory.local_only)"
            )

    # Requests.

    @contextmanager
    def hold(self, request: InferRequest) -> Iterator[Held]:
        """The request's places, open and unchanging while the context lasts.

        Raises PermissionDenied when switched off, NotFound, InvalidRequest, PayloadTooLarge, and Unavailable
        while other requests have too much in copies.
        """
        self.admit(local=True)
        held = Held(request, self._regions)
        size = held.input_bytes
        most = self._config.max_in_flight
        if 0 <= most < size:
            raise PayloadTooLarge(
                f"the inputs in shared memory have {size} bytes, over the limit of {most} (the setting "
                "shared_memory.max_in_flight)"
            )
        if 0 <= most < self._copied_bytes + size:
            raise Unavailable(
                f"the requests in flight have copied {self._copied_bytes} bytes out of shared memory, and "
                f"{size} more are over the limit of {most} (the setting shared_memory.max_in_flight)",
                retry_after_s=1.0,
            )
        self._copied_bytes += size
        held.hold()
        try:
            yield held
        finally:
            held.release()
            self._copied_bytes -= size

    async def read_inputs(self, held: Held, request: InferRequest) -> None:
        """Complete the request's inputs. Raises InvalidRequest, DeadlineExceeded."""
        request.inputs |= await self._call(held.reading_weight, held, held.read, self._limits)
        request.byte_size += held.input_bytes

    async def write_outputs(self, held: Held, response: InferResponse) -> None:
        """Write what is wanted in shared memory. Raises InvalidRequest, Unavailable, DeadlineExceeded."""
        weight = held.writing_weight(response.outputs)
        response.in_shared_memory = await self._call(weight, held, held.write, response.outputs)

    async def _call(self, weight: int, held: Held, work: Callable[[_A], _T], argument: _A) -> _T:
        if weight <= ON_LOOP_BYTES:
            return work(argument)
        # A caller that goes away does not stop a thread: the files must stay open until it is done, or it
        # would read and write whatever is opened under their numbers next.
        loop = asyncio.get_running_loop()
        held.hold()
        job = self._threads.submit(work, argument)
        job.add_done_callback(lambda _: loop.call_soon_threadsafe(held.release))
        left_s = None if held.deadline_s is None else held.deadline_s - time.monotonic()
        try:
            async with asyncio.timeout(left_s):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise DeadlineExceeded(
                "the request's deadline passed while its tensors were copied from or to shared memory"
            ) from error
        finally:
            del job  # with the error that it has, and this frame in that, it would be a cycle
