"""Bidirectional streams: many requests of one caller in work at once, answered in the order they came."""

import asyncio
from collections.abc import Awaitable, Callable

from onnxd.errors import ServerDraining
from onnxd.grpc_frontend.call import Call
from onnxd.grpc_frontend.context import EOF, Parts, Received

Answer = Callable[[Received, Call], Awaitable[Parts]]
"""One message in, one out. What it raises ends the stream, after the answers to what came before."""

_Results = asyncio.Queue[asyncio.Task[Parts | Exception] | None]


class Streams:
    """The streams in progress of one server."""

    def __init__(self, max_in_flight: int) -> None:
        """`max_in_flight`: messages of one stream that are read and not yet answered."""
        self._max_in_flight = max_in_flight
        self._readers: set[asyncio.Task[None]] = set()
        self._closed = False

    def close(self) -> None:
        """Read no more. What has been read is answered; then each stream ends as unavailable.

        Without this a stream that its caller merely keeps open holds up the drain for all of its grace.
        """
        self._closed = True
        for reader in self._readers:
            reader.cancel()

    async def serve(self, stream: Call, answer: Answer) -> None:
        """Run one stream until its caller half-closes.

        Each message is in work as soon as it is read, so that requests of one stream share batches. Beyond
        `max_in_flight` the stream is not read, and HTTP/2's flow control holds the caller back. Raises what
        `answer` raised, and ServerDraining once `close` was called.
        """
        if not self._closed:
            await self._run(stream, answer)
        if self._closed:
            raise ServerDraining("the server is shutting down", retry_after_s=1.0)

    async def _run(self, stream: Call, answer: Answer) -> None:
        context = stream.context
        room = asyncio.Semaphore(self._max_in_flight)
        results: _Results = asyncio.Queue()
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:

            async def read_all() -> None:
                while True:
                    await room.acquire()
                    data = await context.read()
                    if data is EOF:
                        return
                    call = stream.next()
                    results.put_nowait(tasks.create_task(_result(answer, data, call)))
                    del data  # or it is kept until the next one comes

            reader = tasks.create_task(read_all())
            # Not a `finally` in it: a task that is cancelled before its first step runs none of its code.
            reader.add_done_callback(lambda _: results.put_nowait(None))
            self._readers.add(reader)
            try:
                while (message := await _next(results)) is not None:
                    await context.write(message)
                    room.release()
            except Exception as raised:  # of whatever kind: it is raised below
                failure = raised
                reader.cancel()
                while not results.empty():
                    if (task := results.get_nowait()) is not None:
                        task.cancel()
            finally:
                self._readers.discard(reader)
        if failure is not None:
            # Not through the TaskGroup: its frame and the group that it raises are a cycle, with the failed
            # request's frames in it. Nor may this frame have an error that has this frame.
            try:
                raise failure
            finally:
                del failure


async def _result(answer: Answer, data: Received, call: Call) -> Parts | Exception:
    try:
        return await answer(data, call)
    except Exception as error:  # of whatever kind: it waits for its turn, and is settled at the boundary
        return error


async def _next(results: _Results) -> Parts | None:
    """The next answer, or None after the last. Raises what its request raised."""
    task = await results.get()
    if task is None:
        return None
    result = await task
    if isinstance(result, Exception):
        try:
            raise result
        finally:
            del result, task  # a cycle, as above
    return result
