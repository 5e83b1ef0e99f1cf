"""POST .../infer: the request's way through the codec and the scheduler, timed and traced."""

import time
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from onnxd.errors import MalformedPayload
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.deadline import deadline_s
from onnxd.http_frontend.json_process import JsonProcess
from onnxd.http_frontend.offload import by_size
from onnxd.http_frontend.responses import SERVER_HEADERS, send_parts
from onnxd.http_frontend.shared_memory import is_local
from onnxd.http_frontend.tracing import Progress, traced
from onnxd.inference import InferenceService
from onnxd.messages import InferRequest
from onnxd.protocol.compression import choose_encoding, compress
from onnxd.protocol.json_request import decode_infer_request, decode_raw_request, parse_header_length
from onnxd.protocol.json_response import EncodedResponse, encode_infer_response, json_data_bytes
from onnxd.protocol.limits import ProtocolLimits
from onnxd.telemetry.tracing import Tracing

JSON_LENGTH_HEADER: Final = "Inference-Header-Content-Length"


@dataclass(frozen=True, slots=True)
class InferHandlers:
    """The inference operation, JSON and binary."""

    inference: InferenceService
    tracing: Tracing
    body: BodyReader
    large: JsonProcess
    limits: ProtocolLimits

    async def infer(self, call: Call) -> web.StreamResponse:
        return await traced(self.tracing, call, self._answer)

    async def _answer(self, call: Call, progress: Progress) -> web.StreamResponse:
        timeline = progress.timeline
        latest_s = deadline_s(call)
        body = await self.body.read(call)
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
        encoded = await by_size(json_bytes, encode_infer_response, request, response)
        return await self._send(call, encoded, progress)

    async def _decode(self, call: Call, body: bytes) -> InferRequest:
        json_length: int | None = None
        headers = call.request.headers
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
        return await self.large.by_size(
            len(body) if json_length is None else json_length,
            decode_infer_request,
            body,
            json_length,
            model_name=call.model,
            model_version=call.version,
            limits=self.limits,
        )

    async def _send(self, call: Call, encoded: EncodedResponse, progress: Progress) -> web.StreamResponse:
        headers = CIMultiDict(SERVER_HEADERS)
        headers["Content-Type"] = encoded.content_type
        if encoded.json_length is not None:
            # Counts bytes of the body before compression, as clients read it.
            headers[JSON_LENGTH_HEADER] = str(encoded.json_length)
        parts = encoded.parts
        accepted = call.request.headers.get("Accept-Encoding")
        encoding = choose_encoding(accepted) if accepted else None
        if encoding is not None:
            headers["Content-Encoding"] = encoding
            parts = [await by_size(encoded.content_length, compress, parts, encoding)]
        progress.timeline.encode_end_ns = time.monotonic_ns()
        progress.add_timing(headers)
        return await send_parts(call, parts, headers)
