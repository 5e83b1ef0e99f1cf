"""ModelInfer and ModelStreamInfer: one request, or many on one stream."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import grpc
import structlog

from onnxd.errors import ServerError
from onnxd.grpc_frontend.boundary import Context, parse
from onnxd.grpc_frontend.call import carrier, deadline_s, messages
from onnxd.grpc_frontend.errors import status_of
from onnxd.inference import InferenceService
from onnxd.messages import Timeline
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.proto_request import decode_infer_request
from onnxd.protocol.proto_response import encode_infer_response
from onnxd.telemetry.access import Outcome, log_access
from onnxd.telemetry.tracing import Tracing
from onnxd_protos.grpc_service_pb2 import ModelInferRequest, ModelInferResponse, ModelStreamInferResponse

UNARY: Final = "inference.GRPCInferenceService/ModelInfer"
STREAM: Final = "inference.GRPCInferenceService/ModelStreamInfer"
_FINAL: Final = "triton_final_response"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InferCalls:
    """The inference calls of one server."""

    inference: InferenceService
    tracing: Tracing
    limits: ProtocolLimits
    max_stream_in_flight: int

    async def unary(self, message: ModelInferRequest, context: Context) -> ModelInferResponse:
        """Answer one request, or raise its ServerError."""
        timeline = Timeline()
        return await self._answer(UNARY, message, context, timeline)

    async def stream(self, context: Context) -> None:
        """Answer the requests of one stream, in the order in which they came.

        Each is queued when it is read, so that requests of one stream share batches. A request's error is
        a message on the stream and never ends it. What is read but not answered is bounded; beyond that the
        stream is not read, and HTTP/2's flow control holds the client back.
        """
        answers: asyncio.Queue[asyncio.Task[ModelStreamInferResponse] | None] = asyncio.Queue(
            self.max_stream_in_flight
        )
        async with asyncio.TaskGroup() as tasks:

            async def read() -> None:
                async for data in messages(context):
                    await answers.put(tasks.create_task(self._answer_in_band(data, context)))
                await answers.put(None)

            tasks.create_task(read())
            while (answer := await answers.get()) is not None:
                await context.write(await answer)

    async def _answer_in_band(self, data: bytes, context: Context) -> ModelStreamInferResponse:
        timeline = Timeline()
        request_id = ""
        try:
            message = parse(ModelInferRequest, data)
            request_id = message.id
            response = await self._answer(STREAM, message, context, timeline)
        except ServerError as error:
            return ModelStreamInferResponse(
                error_message=error.message, infer_response=ModelInferResponse(id=request_id)
            )
        except Exception:  # a bug of ours: this request fails opaquely, the stream goes on
            _log.exception("a request on a stream failed", id=request_id)
            return ModelStreamInferResponse(
                error_message="internal error", infer_response=ModelInferResponse(id=request_id)
            )
        response.parameters[_FINAL].bool_param = True
        return ModelStreamInferResponse(infer_response=response)

    async def _answer(
        self, operation: str, message: ModelInferRequest, context: Context, timeline: Timeline
    ) -> ModelInferResponse:
        trace = self.tracing.start(carrier(context), timeline.received_ns) if self.tracing.on else None
        error: BaseException | None = None
        try:
            timeline.decode_start_ns = time.monotonic_ns()
            request = decode_infer_request(message, self.limits)
            request.timeline = timeline
            request.deadline_s = deadline_s(context)
            timeline.decode_end_ns = time.monotonic_ns()
            response = await self.inference.infer(request)
            timeline.encode_start_ns = time.monotonic_ns()
            answer = encode_infer_response(response)
            timeline.encode_end_ns = time.monotonic_ns()
        except BaseException as raised:
            error = raised
            raise
        else:
            return answer
        finally:
            if trace is not None:
                self.tracing.finish(
                    trace,
                    timeline,
                    attributes={
                        "rpc.system": "grpc",
                        "rpc.service": operation.partition("/")[0],
                        "rpc.method": operation.partition("/")[2],
                        "onnxd.model.name": message.model_name,
                        "onnxd.request.id": message.id,
                    },
                    error=error,
                )
            self._log(operation, message, context, timeline, error, trace.trace_id if trace else "")

    @staticmethod
    def _log(
        operation: str,
        message: ModelInferRequest,
        context: Context,
        timeline: Timeline,
        error: BaseException | None,
        trace_id: str,
    ) -> None:
        if isinstance(error, ServerError):
            status = status_of(error)
            outcome: Outcome = "failed" if status is grpc.StatusCode.INTERNAL else "refused"
        elif isinstance(error, asyncio.CancelledError):
            status, outcome = grpc.StatusCode.CANCELLED, "refused"
        elif error is not None:
            status, outcome = grpc.StatusCode.INTERNAL, "failed"
        else:
            status, outcome = grpc.StatusCode.OK, "answered"
        log_access(
            outcome,
            operation,
            status.name,
            time.monotonic_ns() - timeline.received_ns,
            model=message.model_name,
            request_id=message.id,
            peer=context.peer() if error is not None else "",
            trace_id=trace_id,
            error=error.message if isinstance(error, ServerError) else "",
        )
