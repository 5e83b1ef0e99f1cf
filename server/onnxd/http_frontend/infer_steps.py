"""What is done with an inference request, whichever way it came: decoded, asked of the model, encoded."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from onnxd.errors import MalformedPayload
from onnxd.http_frontend.call import Exchange
from onnxd.http_frontend.deadline import deadline_s
from onnxd.http_frontend.json_process import IN_PROCESS_BYTES, JsonProcess
from onnxd.http_frontend.offload import ON_LOOP_BYTES, by_size
from onnxd.http_frontend.shared_memory import is_local
from onnxd.http_frontend.tracing import Progress
from onnxd.inference import InferenceService
from onnxd.messages import InferRequest
from onnxd.protocol.compression import choose_encoding, compress
from onnxd.protocol.json_request import decode_infer_request, decode_raw_request, parse_header_length
from onnxd.protocol.json_response import EncodedResponse, encode_infer_response, json_data_bytes
from onnxd.protocol.limits import ProtocolLimits
from onnxd.telemetry.tracing import Tracing

JSON_LENGTH_HEADER: Final = "Inference-Header-Content-Length"

_C = TypeVar("_C", bound=Exchange)


@dataclass(frozen=True, slots=True)
class InferSteps:
    """The inference operation, JSON and binary, between a body and the parts of an answer's."""

    inference: InferenceService
    tracing: Tracing
    large: JsonProcess
    limits: ProtocolLimits

    async def answer(
        self, call: _C, progress: Progress, receive: Callable[[_C], Awaitable[bytes | memoryview]]
    ) -> "InferAnswer":
        """`receive` gives the whole body, decompressed. Raises what it raises, what InferenceService.infer
        raises, MalformedPayload and PayloadTooLarge."""
        timeline = progress.timeline
        latest_s = deadline_s(call)
        body = await receive(call)
        timeline.decode_start_ns = time.monotonic_ns()
        request = progress.request = await self._decode(call, body)
        request.timeline = timeline
        request.deadline_s = latest_s
        request.principal = call.caller.principal
        call.request_id = request.id
        if request.uses_shared_memory:
            self.inference.shared_memory.admit(local=is_local(call))
        timeline.decode_end_ns = time.monotonic_ns()
        response = await self.inference.infer(request)
        progress.version = response.model_version
        timeline.encode_start_ns = time.monotonic_ns()
        if call.payload is not None:
            call.payload.add(response.total_bytes)
        json_bytes = json_data_bytes(request, response)
        if json_bytes <= ON_LOOP_BYTES:
            encoded = encode_infer_response(request, response)
        else:
            encoded = await by_size(json_bytes, encode_infer_response, request, response)
        answer = await _compressed(call, encoded)
        timeline.encode_end_ns = time.monotonic_ns()
        return answer

    async def _decode(self, call: Exchange, body: bytes | memoryview) -> InferRequest:
        json_length: int | None = None
        headers = call.headers
        if JSON_LENGTH_HEADER in headers:
            values = headers.getall(JSON_LENGTH_HEADER)
            if len(values) > 1:
                raise MalformedPayload(
                    f"header '{JSON_LENGTH_HEADER}': expected once, got {len(values)} times"
                )
            json_length = parse_header_length(values[0], len(body))
            if json_length == 0:
                spec = self.inference.spec(call.model, call.version)
                return decode_raw_request(body, spec, model_version=call.version)
        json_bytes = len(body) if json_length is None else json_length
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


@dataclass(frozen=True, slots=True)
class InferAnswer:
    """An answer to be sent: its body in pieces, and what its head says of it."""

    encoded: EncodedResponse
    parts: list[bytes | memoryview]
    encoding: str | None = None
    """How the body is compressed; None = it is not."""


async def _compressed(call: Exchange, encoded: EncodedResponse) -> InferAnswer:
    """As the client likes it."""
    accepted = call.headers.get("Accept-Encoding")
    encoding = choose_encoding(accepted) if accepted else None
    if encoding is None:
        return InferAnswer(encoded, encoded.parts)
    return InferAnswer(
        encoded, [await by_size(encoded.content_length, compress, encoded.parts, encoding)], encoding
    )
