"""The outermost layer of every call: bytes to message, errors to codes, and nothing else gets out.

grpc.aio sends the text of an unhandled exception to the caller, and answers a message that it cannot parse
in words of its own; so handlers are registered on bytes and both are done here.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import structlog
from google.protobuf.message import Message

from onnxd.errors import ServerError, Unavailable
from onnxd.grpc_frontend.call import Call, InProgress
from onnxd.grpc_frontend.context import CallerLeft, Context, Parts, Received
from onnxd.grpc_frontend.errors import Refusal, refusal_of
from onnxd.grpc_frontend.operations import operation_of
from onnxd.grpc_frontend.status_code import StatusCode
from onnxd.grpc_frontend.transport import Handler
from onnxd.protocol.proto_wire import parse
from onnxd.security.operations import OPERATIONS
from onnxd.security.peer import grpc_peer_address
from onnxd.telemetry import audit
from onnxd.telemetry.access import Outcome, log_access, log_answered
from onnxd.telemetry.request_headers import REQUEST_ID
from onnxd_protos.services import Method

Unary = Callable[[Any, Call], Awaitable[Message]]
BytesUnary = Callable[[Received, Call], Awaitable[Parts]]
Stream = Callable[[Call], Awaitable[None]]

_ANSWERED: Final = "OK"
_DENIED: Final = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})

_log = structlog.get_logger(__name__)


def unary_handler(method: Method, serve: Unary, running: InProgress) -> Handler:
    """Register a coroutine (request, call) -> response for a unary method. Its answers are not compressed."""

    async def serve_bytes(data: Received, call: Call) -> Parts:
        call.context.disable_next_message_compression()
        return (await serve(parse(method.request, data), call)).SerializeToString()

    return bytes_handler(method, serve_bytes, running)


def bytes_handler(method: Method, serve: BytesUnary, running: InProgress) -> Handler:
    """Register a coroutine (bytes, call) -> Parts, which parses and serializes itself, for a unary method."""
    operation, asks = method.path.removeprefix("/"), operation_of(method.path)

    async def handle(data: Received, context: Context) -> Parts:
        call = Call(context, operation, running.refusals, asks)
        try:
            with running:
                running.admit(call)
                answer = await serve(data, call)
        except asyncio.CancelledError:
            log_call(call, "refused", "CANCELLED", "the caller gave up")
            raise
        except Exception as raised:  # whatever is not a ServerError is our bug: settle() hides it
            refusal = settle(raised, call)
        else:
            log_call(call, "answered", "OK")
            return answer
        # Only now, and without the message: what abort raises ends up in a cycle with grpc's own state of
        # the call, and whatever it can reach stays in memory until the garbage collector comes by.
        del data
        await _abort(context, refusal, call.asked.request_id)
        raise AssertionError("abort returned")

    return Handler(handle, streamed=False)


def stream_handler(method: Method, serve: Stream, running: InProgress) -> Handler:
    """Register a coroutine (call) that reads and writes a stream itself, in bytes.

    It will do for a method whose request is a single message: on the wire there is no difference.
    """
    operation, asks = method.path.removeprefix("/"), operation_of(method.path)

    async def handle(_: object, context: Context) -> None:
        call = Call(context, operation, running.refusals, asks)
        try:
            with running:
                running.admit(call)
                await serve(call)
        except asyncio.CancelledError:
            # Usual: it is how callers leave a stream that has no end of its own.
            log_call(call, "answered", "CANCELLED")
            raise
        except Exception as raised:  # as above
            error = _first_of(raised)
            if isinstance(error, CallerLeft):
                log_call(call, "answered", "CANCELLED")
                return
            refusal = settle(error, call)
            del error  # as below: it has the frames, and they have the messages
        else:
            log_call(call, "answered", "OK")
            return
        await _abort(context, refusal, call.asked.request_id)

    return Handler(handle, streamed=True)


def settle(raised: Exception, call: Call) -> Refusal:
    """What the caller is told of an error. It is counted and logged here, a bug with its traceback."""
    if isinstance(raised, ServerError):
        error = raised
    elif isinstance(raised, MemoryError):
        error = Unavailable(
            "no memory for this request now; try again later, or send less at once", retry_after_s=1.0
        )
    else:
        # The log has the traceback, the caller a number to quote.
        number = secrets.token_hex(8)
        _log.error("a call failed", operation=call.operation, request_id=number, exc_info=raised)
        error = ServerError(f"internal error (request id {number})")
    call.refusals.count(type(error))
    refusal = refusal_of(error)
    outcome: Outcome = "failed" if refusal.status is StatusCode.INTERNAL else "refused"
    log_call(call, outcome, refusal.status.name, error.message)
    return refusal


def log_call(call: Call, outcome: Outcome, status: str, error: str = "") -> None:
    """One line of the access log, and a record of what an admin did or somebody was refused."""
    if status == _ANSWERED and call.timeline is not None:
        log_answered(
            call.operation, status, call.timeline, call.model, call.version, call.caller.principal.name,
            call.request_id, call.asked.request_id, call.trace_id,
        )  # fmt: skip
        return
    if OPERATIONS[call.asks].admin or status in _DENIED:
        audit.record(
            call.asks,
            outcome,
            status,
            principal=call.caller.principal.name,
            peer=grpc_peer_address(call.context.peer()),
            method=call.operation,
            model=call.model,
            reason=error,
        )
    log_access(
        outcome,
        call.operation,
        status,
        time.monotonic_ns() - call.received_ns,
        model=call.model,
        version=call.version,
        request_id=call.request_id,
        header_id=call.asked.request_id,
        timeline=call.timeline,
        peer=call.context.peer() if error else "",
        trace_id=call.trace_id,
        principal=call.caller.principal.name,
        error=error,
    )


def _first_of(raised: Exception) -> Exception:
    """The error itself, out of the group that a TaskGroup makes of it."""
    while isinstance(raised, ExceptionGroup):
        raised = raised.exceptions[0]
    return raised


async def _abort(context: Context, refusal: Refusal, request_id: str) -> None:
    own = ((REQUEST_ID, request_id),) if request_id else ()
    await context.abort(refusal.status, refusal.details, cast(Any, (*own, *refusal.trailers)))
