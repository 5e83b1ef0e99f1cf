"""The unary calls besides inference: health, metadata, configuration, statistics, repository."""

from dataclasses import dataclass

from onnxd.errors import InvalidName, MalformedPayload, ModelNotFound, NotSupported
from onnxd.fleet import Fleet
from onnxd.grpc_frontend.call import Call
from onnxd.inference import InferenceService
from onnxd.protocol import proto_documents
from onnxd.protocol.documents import IndexRow, extensions
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.load_parameters import asks_rollback, check_unload_parameters, load_override
from onnxd.protocol.names import check_model_name, parse_version
from onnxd.repository.catalog import ModelState
from onnxd.repository.control_plane import ControlPlane
from onnxd.security.gate import may_see
from onnxd_protos import grpc_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class ControlCalls:
    """What a client asks about the server and its models, and what it tells the repository."""

    inference: InferenceService
    lifecycle: ControlPlane
    limits: ProtocolLimits
    server_name: str
    server_version: str
    fleet: Fleet

    async def server_live(self, _: pb.ServerLiveRequest, __: Call) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, _: pb.ServerReadyRequest, __: Call) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self.inference.ready)

    async def model_ready(self, asked: pb.ModelReadyRequest, call: Call) -> pb.ModelReadyResponse:
        # An unknown model is not an error here: clients poll this while they wait for one to appear.
        name, version = _target(asked, call)
        try:
            ready = self.inference.model_ready(name, version)
        except ModelNotFound:
            ready = False
        return pb.ModelReadyResponse(ready=ready)

    async def server_metadata(self, _: pb.ServerMetadataRequest, __: Call) -> pb.ServerMetadataResponse:
        spoken = extensions(shared_memory=self.inference.shared_memory.enabled)
        return proto_documents.server_metadata(self.server_name, self.server_version, spoken)

    async def model_metadata(self, asked: pb.ModelMetadataRequest, call: Call) -> pb.ModelMetadataResponse:
        name, version = _target(asked, call)
        await self.inference.wake(name)
        spec = self.inference.spec(name, version)
        versions = self.inference.versions(name) if version is None else (version,)
        return proto_documents.model_metadata(spec, versions)

    async def model_config(self, asked: pb.ModelConfigRequest, call: Call) -> pb.ModelConfigResponse:
        name, version = _target(asked, call)
        await self.inference.wake(name)
        served = self.inference.served(name, version)
        return pb.ModelConfigResponse(config=served.triton_config())

    async def statistics(self, asked: pb.ModelStatisticsRequest, call: Call) -> pb.ModelStatisticsResponse:
        name, version = _target(asked, call) if asked.name else (None, None)
        if name is None and asked.version:
            raise InvalidName("a version was given without a model name; name the model, or leave out both")
        seen = [
            served
            for served in self.inference.serving(name, version)
            if may_see(call.caller, "stats", served.spec.name)
        ]
        return proto_documents.statistics(await self.fleet.statistics(seen))

    async def index(self, asked: pb.RepositoryIndexRequest, call: Call) -> pb.RepositoryIndexResponse:
        if asked.repository_name:
            raise NotSupported("'repository_name' is not supported: the index covers all repositories")
        return proto_documents.repository_index(
            IndexRow(entry.name, entry.version, entry.state.value if entry.state else "", entry.reason)
            for entry in await self.lifecycle.index()
            if (not asked.ready or entry.state is ModelState.READY)
            and may_see(call.caller, "index", entry.name)
        )

    async def load(self, asked: pb.RepositoryModelLoadRequest, call: Call) -> pb.RepositoryModelLoadResponse:
        name = _model_name(asked, call)
        parameters = {key: _value(parameter) for key, parameter in asked.parameters.items()}
        if asks_rollback(parameters):
            await self.lifecycle.rollback(name)
        else:
            override = load_override(
                parameters, self.limits, permitted=self.lifecycle.overrides_permitted, base64_files=False
            )
            if override is not None:
                call.require(name, "overrides")
            await self.lifecycle.load(name, override)
        return pb.RepositoryModelLoadResponse.FromString(_confirmation(asked))

    async def unload(
        self, asked: pb.RepositoryModelUnloadRequest, call: Call
    ) -> pb.RepositoryModelUnloadResponse:
        name = _model_name(asked, call)
        check_unload_parameters(asked.parameters)
        for key, parameter in asked.parameters.items():
            if parameter.WhichOneof("parameter_choice") != "bool_param":
                raise MalformedPayload(f"expected parameter '{key}' to be a bool_param")
        await self.lifecycle.unload(name)
        return pb.RepositoryModelUnloadResponse.FromString(_confirmation(asked))


def _target(
    asked: pb.ModelReadyRequest | pb.ModelMetadataRequest | pb.ModelConfigRequest | pb.ModelStatisticsRequest,
    call: Call,
) -> tuple[str, int | None]:
    """The model and version that are asked about. Raises InvalidName."""
    call.model = asked.name
    call.require(asked.name)
    return check_model_name(asked.name), parse_version(asked.version)


def _model_name(asked: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest, call: Call) -> str:
    """KServe's client numbers the name 1, where Triton has repository_name: alone, it is the model's."""
    if asked.repository_name and asked.model_name:
        raise NotSupported("'repository_name' is not supported: models have one name over all")
    call.model = asked.model_name or asked.repository_name
    call.require(call.model)
    return check_model_name(call.model)


def _confirmation(asked: pb.RepositoryModelLoadRequest | pb.RepositoryModelUnloadRequest) -> bytes:
    """The answer to load or unload, in bytes: nothing, as in Triton's messages. KServe's answers have a name
    (1) and whether it is done (2), which would otherwise read as not done."""
    if asked.model_name:
        return b""
    # A message with fields of those types and numbers.
    return pb.RepositoryIndexRequest(repository_name=asked.repository_name, ready=True).SerializeToString()


def _value(parameter: pb.ModelRepositoryParameter) -> object:
    """What a parameter holds; None when it holds nothing."""
    kind = parameter.WhichOneof("parameter_choice")
    return None if kind is None else getattr(parameter, kind)
