"""The data plane of a server that records requests; without, there is only InferenceService."""

from collections.abc import Sequence

from onnxd.errors import ServerError
from onnxd.inference import InferenceConfig, InferenceService
from onnxd.messages import InferRequest, InferResponse
from onnxd.repository.catalog import Catalog
from onnxd.shared_memory.service import SharedMemory
from onnxd.telemetry.recorder import Recorder


class RecordedInference(InferenceService):
    """Offers a share of the requests, of every protocol, to the recorder."""

    def __init__(
        self,
        recorder: Recorder,
        catalog: Catalog,
        config: InferenceConfig,
        shared_memory: SharedMemory | None = None,
        *,
        strict_readiness: bool = False,
        ready_models: Sequence[str] = (),
    ) -> None:
        super().__init__(
            catalog, config, shared_memory, strict_readiness=strict_readiness, ready_models=ready_models
        )
        self._recorder = recorder

    async def infer(self, request: InferRequest) -> InferResponse:
        """As InferenceService.infer. Of what fails, only what had come to a batch is recorded: the others say
        nothing of the model."""
        if not self._recorder.wants(request.model_name):
            return await super().infer(request)
        try:
            response = await super().infer(request)
        except ServerError as error:
            if request.timeline.compute_start_ns:
                self._recorder.offer(request, None, type(error).__name__)
            raise
        self._recorder.offer(request, response)
        return response
