"""POST .../infer through aiohttp."""

from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.infer_steps import JSON_LENGTH_HEADER, InferSteps, infer_head
from onnxd.http_frontend.responses import SERVER_HEADERS, send_parts
from onnxd.http_frontend.tracing import Progress, traced


@dataclass(frozen=True, slots=True)
class InferHandlers:
    """The inference operation, JSON and binary."""

    steps: InferSteps
    body: BodyReader

    async def infer(self, call: Call) -> web.StreamResponse:
        return await traced(self.steps.tracing, call, self._answer)

    async def _answer(self, call: Call, progress: Progress) -> web.StreamResponse:
        answer = await self.steps.answer(call, progress, infer_head(call.headers), self.body.read)
        headers = CIMultiDict(SERVER_HEADERS)
        headers["Content-Type"] = answer.encoded.content_type
        if answer.encoded.json_length is not None:
            # Counts bytes of the body before compression, as clients read it.
            headers[JSON_LENGTH_HEADER] = str(answer.encoded.json_length)
        if answer.encoding is not None:
            headers["Content-Encoding"] = answer.encoding
        headers.update(progress.timing())
        return await send_parts(call, answer.parts, headers)
