"""The unary calls besides inference: health, metadata, configuration, statistics, repository."""

from dataclasses import dataclass

from onnxd.errors import InvalidName, ModelNotFound, NotSupported
from onnxd.grpc_frontend.boundary import Context
from onnxd.inference import InferenceService
from onnxd.protocol import proto_documents
from onnxd.protocol.documents import EXTENSIONS, IndexRow, StatisticsRow
from onnxd.protocol.names import check_model_name, parse_version
from onnxd.repository.catalog import ModelState
from onnxd.repository.lifecycle import Lifecycle
from onnxd_protos import grpc_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class ControlCalls:
    """What a client asks about the server and its models, and what it tells the repository."""

    inference: InferenceService
    lifecycle: Lifecycle
    server_name: str
    server_version: str

    async def server_live(self, _: pb.ServerLiveRequest, __: Context) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _: pb.ServerReadyRequest, __: Context) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self.inference.ready)

    async def model_ready(self, asked: pb.ModelReadyRequest, _: Context) -> pb.ModelReadyResponse:
        # An unknown model is not an error here: clients poll this while they wait for one to appear.
        try:
            ready = self.inference.model_ready(check_model_name(asked.name), parse_version(asked.version))
        except ModelNotFound:
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    async def server_metadata(self, _: pb.ServerMetadataRequest, __: Context) -> pb.ServerMetadataResponse:
        return proto_documents.server_metadata(self.server_name, self.server_version, EXTENSIONS)

    async def model_metadata(self, asked: pb.ModelMetadataRequest, _: Context) -> pb.ModelMetadataResponse:
        name, version = check_model_name(asked.name), parse_version(asked.version)
        spec = self.inference.spec(name, version)
        versions = self.inference.versions(name) if version is None else (version,)
        return proto_documents.model_metadata(spec, versions)

    async def model_config(self, asked: pb.ModelConfigRequest, _: Context) -> pb.ModelConfigResponse:
        served = self.inference.served(check_model_name(asked.name), parse_version(asked.version))
        return proto_documents.model_config(served.spec, served.config_view())

    async def statistics(self, asked: pb.ModelStatisticsRequest, _: Context) -> pb.ModelStatisticsResponse:
        version = parse_version(asked.version)
        name = check_model_name(asked.name) if asked.name else None
        if name is None and version is not None:
            raise InvalidName("a version was given without a model name; name the model, or leave out both")
        return proto_documents.statistics(
            StatisticsRow(served.spec.name, served.spec.version, served.statistics.snapshot())
            for served in self.inference.serving(name, version)
        )

    async def index(self, asked: pb.RepositoryIndexRequest, _: Context) -> pb.RepositoryIndexResponse:
        if asked.repository_name:
            raise NotSupported("'repository_name' is not supported: the index covers all repositories")
        return proto_documents.repository_index(
            IndexRow(entry.name, entry.version, entry.state.value if entry.state else "", entry.reason)
            for entry in await self.lifecycle.index()
            if not asked.ready or entry.state is ModelState.READY
        )

    async def load(self, asked: pb.RepositoryModelLoadRequest, _: Context) -> pb.RepositoryModelLoadResponse:
        if asked.parameters:
            raise NotSupported(
                f"load parameter '{min(asked.parameters)}' is not supported: "
                "a model is loaded as its directory has it"
            )
        await self.lifecycle.load(_model_name(asked))
        return pb.RepositoryModelLoadResponse()

    async def unload(
        self, asked: pb.RepositoryModelUnloadRequest, _: Context
    ) -> pb.RepositoryModelUnloadResponse:
        # `unload_dependents` is about ensembles; a model without dependents has nothing to unload with it.
        await self.lifecycle.unload(_model_name(asked))
        return pb.RepositoryModelUnloadResponse()


def _model_name(asked: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> str:
    """KServe's client numbers the name 1, where Triton has repository_name: alone, it is the model's."""
    if asked.repository_name and asked.model_name:
        raise NotSupported("'repository_name' is not supported: models have one name over all")
    return check_model_name(asked.model_name or asked.repository_name)
