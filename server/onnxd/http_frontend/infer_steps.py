"""What is done with an inference request, whichever way it came: decoded, asked of the model, encoded."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from multidict import MultiMapping

from onnxd.errors import MalformedPayload
from onnxd.http_frontend.call import Exchange
from onnxd.http_frontend.deadline import HEADER as TIMEOUT_HEADER
from onnxd.http_frontend.deadline import deadline_after_s
from onnxd.http_frontend.json_process import IN_PROCESS_BYTES, JsonProcess
from onnxd.http_frontend.offload import ON_LOOP_BYTES, by_size
from onnxd.http_frontend.shared_memory import is_local
from onnxd.http_frontend.tracing import Progress
from onnxd.inference import InferenceService
from onnxd.messages import InferRequest
from onnxd.protocol.compression import choose_encoding, compress
from onnxd.protocol.json_request import (
    decode_infer_request,
    decode_raw_request,
    length_of,
    parse_header_length,
)
from onnxd.protocol.json_response import (
    EncodedResponse,
    ResponseHeads,
    encode_infer_response,
    json_data_bytes,
)
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.request_plans import RequestPlans
from onnxd.telemetry.tracing import Tracing

JSON_LENGTH_HEADER: Final = "Inference-Header-Content-Length"

_C = TypeVar("_C", bound=Exchange)


@dataclass(frozen=True, slots=True)
class InferHead:
    """What a request's head says that the steps need."""

    timeout: str | None
    json_lengths: Sequence[str]
    accepted: str | None
    json_length: int | None
    """Of the one that there is, if it is a length; it may be longer than the body."""


def infer_head(headers: MultiMapping[str]) -> InferHead:
    json_lengths = headers.getall(JSON_LENGTH_HEADER, ())
    return InferHead(
        headers.get(TIMEOUT_HEADER),
        json_lengths,
        headers.get("Accept-Encoding"),
        length_of(json_lengths[0]) if len(json_lengths) == 1 else None,
    )


@dataclass(slots=True)
class InferAnswer:
    """An answer to be sent: its body in pieces, and what its head says of it."""

    encoded: EncodedResponse
    parts: list[bytes | memoryview]
    encoding: str | None = None
    """How the body is compressed; None = it is not."""


Body = bytes | memoryview


@dataclass(frozen=True, slots=True)
class InferSteps:
    """The inference operation, JSON and binary, between a body and the parts of an answer's."""

    inference: InferenceService
    tracing: Tracing
    large: JsonProcess
    limits: ProtocolLimits
    plans: RequestPlans
    heads: ResponseHeads

    async def answer(
        self, call: _C, progress: Progress, head: InferHead, receive: Callable[[_C], Body | Awaitable[Body]]
    ) -> InferAnswer:
        """`receive` gives the whole body, decompressed; one that is there already needs not be waited for.

        Raises what it raises, what InferenceService.infer raises, MalformedPayload and PayloadTooLarge."""
        timeline = progress.timeline
        latest_s = None if head.timeout is None else deadline_after_s(head.timeout, call.received_ns)
        body = receive(call)
        if type(body) is not bytes and type(body) is not memoryview:
            body = await cast(Awaitable[Body], body)
        timeline.decode_start_ns = time.monotonic_ns()
        json_length = head.json_length
        if json_length is None or json_length > len(body):
            json_length = _json_length(head, len(body)) if head.json_lengths else None
        json_bytes = len(body) if json_length is None else json_length
        if json_length == 0:
            await self.inference.wake(call.model)
            spec = self.inference.spec(call.model, call.version)
            request = decode_raw_request(body, spec, model_version=call.version)
        elif json_bytes <= ON_LOOP_BYTES:
            request = self.plans.decode(body, json_length, call.model, call.version, timeline)
        else:
            request = await self._decode_large(call, body, json_length, json_bytes)
        progress.request = request
        request.timeline = timeline
        request.deadline_s = latest_s
        request.principal = call.caller.principal
        call.request_id = request.id
        if (request.shared_inputs or request.outputs) and request.uses_shared_memory:
            self.inference.shared_memory.admit(local=is_local(call))
        timeline.decode_end_ns = time.monotonic_ns()
        response = await self.inference.infer(request)
        progress.version = response.model_version
        timeline.encode_start_ns = time.monotonic_ns()
        if call.payload is not None:
            call.payload.add(response.total_bytes)
        json_bytes = json_data_bytes(request, response)
        if json_bytes <= ON_LOOP_BYTES:
            encoded = self.heads.encode(request, response)
        else:
            encoded = await by_size(json_bytes, encode_infer_response, request, response)
        encoding = choose_encoding(head.accepted) if head.accepted else None
        if encoding is None:
            answer = InferAnswer(encoded, encoded.parts)
        else:
            whole = await by_size(encoded.content_length, compress, encoded.parts, encoding)
            answer = InferAnswer(encoded, [whole], encoding)
        timeline.encode_end_ns = time.monotonic_ns()
        return answer

    async def _decode_large(
        self, call: Exchange, body: Body, json_length: int | None, json_bytes: int
    ) -> InferRequest:
        if json_bytes > IN_PROCESS_BYTES and type(body) is not bytes:
            body = bytes(body)  # a view cannot be sent to another process
        return await self.large.by_size(
            json_bytes,
            decode_infer_request,
            body,
            json_length,
            model_name=call.model,
            model_version=call.version,
            limits=self.limits,
        )


def _json_length(head: InferHead, body_length: int) -> int:
    if len(head.json_lengths) > 1:
        raise MalformedPayload(
            f"header '{JSON_LENGTH_HEADER}': expected once, got {len(head.json_lengths)} times"
        )
    return parse_header_length(head.json_lengths[0], body_length)
