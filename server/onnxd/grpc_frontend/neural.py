"""neural.NeuralService: the simple face. One row of numbers in, numbers out, on the configured model."""

import time
from dataclasses import dataclass

from onnxd.grpc_frontend.call import Call
from onnxd.grpc_frontend.context import Received
from onnxd.inference import InferenceService
from onnxd.messages import Timeline
from onnxd.protocol.proto_wire import parse
from onnxd.protocol.simple import simple_answer, simple_request
from onnxd_protos.neural_pb2 import InferenceRequest, InferenceResponse


@dataclass(frozen=True, slots=True)
class NeuralCalls:
    """Infer and InferStream on one model."""

    inference: InferenceService
    model: str

    async def infer(self, data: Received, call: Call) -> bytes:
        """Answer one row, or raise its ServerError.

        On a stream as well, which an error therefore ends: its messages have no place for one.
        """
        call.model = self.model
        call.require(self.model)
        with call.hold() as held, self.inference.payloads.open() as payload:
            held.model(self.model)
            payload.grow(len(data))
            return await self._answer(data, call)

    async def _answer(self, data: Received, call: Call) -> bytes:
        timeline = Timeline(received_ns=call.received_ns, decode_start_ns=time.monotonic_ns())
        message = parse(InferenceRequest, data)
        await self.inference.wake(self.model)
        spec = self.inference.spec(self.model, None)
        request, several = simple_request(spec, list(message.inputs))
        request.timeline = timeline
        request.deadline_s = call.deadline_s()
        request.principal = call.caller.principal
        timeline.decode_end_ns = time.monotonic_ns()
        response = await self.inference.infer(request)
        numbers = simple_answer(spec, response, several=several)
        return InferenceResponse(outputs=numbers).SerializeToString()
