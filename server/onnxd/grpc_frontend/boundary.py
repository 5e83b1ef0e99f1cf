"""The outermost layer of every call: bytes to message, errors to codes, and nothing else gets out.

grpc.aio sends the text of an unhandled exception to the caller, and answers a message that it cannot parse
in words of its own; so handlers are registered on bytes and both are done here.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from grpc.aio import ServicerContext

from onnxd.errors import MalformedPayload, ServerError
from onnxd.grpc_frontend.errors import status_of, trailers_of
from onnxd_protos.services import Method

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Context = ServicerContext[bytes, Message]
Unary = Callable[[Any, Context], Awaitable[Message]]
Stream = Callable[[Context], Awaitable[None]]

_log = structlog.get_logger(__name__)


def unary_handler(method: Method, serve: Unary) -> "grpc.RpcMethodHandler[bytes, Message]":
    """Register a coroutine (request, context) -> response for a unary method."""

    async def handle(data: bytes, context: Context) -> Message:
        try:
            return await serve(parse(method.request, data), context)
        except ServerError as error:
            await abort(context, error)
        except Exception:  # whatever it is, it is our bug, and the caller must not read it
            await abort_opaque(context, method.path)
        raise AssertionError("abort returned")

    return grpc.unary_unary_rpc_method_handler(
        cast(Any, handle), request_deserializer=None, response_serializer=_serialize
    )


def stream_handler(method: Method, serve: Stream) -> "grpc.RpcMethodHandler[bytes, Message]":
    """Register a coroutine (context) that reads and writes a bidirectional stream itself."""

    async def handle(_: object, context: Context) -> None:
        try:
            await serve(context)
        except* ServerError as group:
            await abort(context, cast(ServerError, group.exceptions[0]))
        except* Exception:  # as above
            await abort_opaque(context, method.path)

    return grpc.stream_stream_rpc_method_handler(
        cast(Any, handle), request_deserializer=None, response_serializer=_serialize
    )


def parse(kind: type[Request], data: bytes) -> Request:
    """Parse a message. Raises MalformedPayload for bytes that are not one."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise MalformedPayload(f"the bytes sent are not a {kind.DESCRIPTOR.full_name} message") from error


async def abort(context: Context, error: ServerError) -> None:
    """End the call with the error's code, text and trailers. Does not return."""
    await context.abort(status_of(error), error.message, cast(Any, trailers_of(error)))


async def abort_opaque(context: Context, path: str) -> None:
    """End the call for a bug of ours: the log has the traceback, the caller a number to quote."""
    request_id = secrets.token_hex(8)
    _log.exception("grpc call failed", path=path, request_id=request_id)
    await context.abort(grpc.StatusCode.INTERNAL, f"internal error (request id {request_id})")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
