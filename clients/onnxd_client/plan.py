"""Calls as plans: generators that say what to send and when, and are driven by either colour of I/O.

A plan yields an Attempt, receives the reply or has the transport's ServerError thrown into it, and returns
the result. So retries, deadlines and the metadata cache are written once.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from onnxd_client.codec import ReplyT, RequestT
from onnxd_client.errors import ServerError

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Attempt(Generic[RequestT]):
    """Wait `delay` seconds, then send; `timeout` seconds, or infinity, are left for the answer from then."""

    request: RequestT
    headers: Mapping[str, str]
    timeout: float
    delay: float = 0.0


Plan = Generator[Attempt[RequestT], ReplyT, ResultT]


def run(
    plan: Generator[Attempt[RequestT], ReplyT, ResultT],
    send: Callable[[Attempt[RequestT]], ReplyT],
    sleep: Callable[[float], object],
) -> ResultT:
    """Drives a plan, blocking."""
    try:
        attempt = next(plan)
        while True:
            try:
                if attempt.delay:
                    sleep(attempt.delay)
                reply = send(attempt)
            except ServerError as error:
                attempt = plan.throw(error)
            else:
                attempt = plan.send(reply)
    except StopIteration as end:
        result: ResultT = end.value
        return result


async def run_async(
    plan: Generator[Attempt[RequestT], ReplyT, ResultT],
    send: Callable[[Attempt[RequestT]], Awaitable[ReplyT]],
    sleep: Callable[[float], Awaitable[object]],
) -> ResultT:
    """The same, awaiting."""
    try:
        attempt = next(plan)
        while True:
            try:
                if attempt.delay:
                    await sleep(attempt.delay)
                reply = await send(attempt)
            except ServerError as error:
                attempt = plan.throw(error)
            else:
                attempt = plan.send(reply)
    except StopIteration as end:
        result: ResultT = end.value
        return result
