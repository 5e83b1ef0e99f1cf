"""neural.NeuralService: the simple face. One row of numbers in, numbers out, on the configured model."""

from dataclasses import dataclass

from onnxd.grpc_frontend.boundary import Context, parse
from onnxd.grpc_frontend.call import deadline_s, messages
from onnxd.inference import InferenceService
from onnxd.protocol.simple import simple_answer, simple_request
from onnxd_protos.neural_pb2 import InferenceRequest, InferenceResponse


@dataclass(frozen=True, slots=True)
class NeuralCalls:
    """Infer and InferStream on one model."""

    inference: InferenceService
    model: str

    async def unary(self, message: InferenceRequest, context: Context) -> InferenceResponse:
        """Answer one row, or raise its ServerError."""
        spec = self.inference.spec(self.model, None)
        request, several = simple_request(spec, list(message.inputs))
        request.deadline_s = deadline_s(context)
        response = await self.inference.infer(request)
        return InferenceResponse(outputs=simple_answer(spec, response, several=several))

    async def stream(self, context: Context) -> None:
        """Answer row after row, in order. An error ends the stream: its messages have no place for one."""
        async for data in messages(context):
            await context.write(await self.unary(parse(InferenceRequest, data), context))
