"""The model repository extension: index, load, unload."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from onnxd.errors import MalformedPayload, NotSupported
from onnxd.http_frontend.body import BodyReader
from onnxd.http_frontend.call import Call
from onnxd.http_frontend.json_process import JsonProcess
from onnxd.http_frontend.offload import by_size
from onnxd.http_frontend.responses import json_response
from onnxd.protocol.documents import IndexRow, repository_index
from onnxd.protocol.json_text import parse_object
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.load_parameters import asks_rollback, check_unload_parameters, load_override
from onnxd.protocol.wording import show
from onnxd.repository.catalog import IndexEntry, ModelState
from onnxd.repository.control_plane import ControlPlane
from onnxd.security.gate import may_see, require


@dataclass(frozen=True, slots=True)
class RepositoryHandlers:
    """What a client asks of the repository, and tells it. Bodies are optional throughout."""

    lifecycle: ControlPlane
    body: BodyReader
    large: JsonProcess
    limits: ProtocolLimits

    async def index(self, call: Call) -> web.Response:
        """Every known version, or with `{"ready": true}` those that serve."""
        only_ready = (await self._object(call)).get("ready", False)
        if type(only_ready) is not bool:
            raise MalformedPayload(f"expected 'ready' to be true or false, got {show(only_ready)}")
        return json_response(
            repository_index(
                index_row(entry)
                for entry in await self.lifecycle.index()
                if (not only_ready or entry.state is ModelState.READY)
                and may_see(call.caller, "index", entry.name)
            )
        )

    async def load(self, call: Call) -> web.Response:
        """Answers when the model serves, or has failed to."""
        document = await self._with_files(call) if self.lifecycle.overrides_permitted else None
        parameters = await self._parameters(call, document)
        if asks_rollback(parameters):
            await self.lifecycle.rollback(call.model)
            return json_response({})
        override = await by_size(
            sum(len(value) for value in parameters.values() if type(value) is str),
            load_override,
            parameters,
            self.limits,
            permitted=self.lifecycle.overrides_permitted,
            base64_files=True,
        )
        if override is not None:
            require(call.caller, "overrides", call.model)
        await self.lifecycle.load(call.model, override)
        return json_response({})

    async def unload(self, call: Call) -> web.Response:
        """Answers when the model no longer serves; requests in flight finish."""
        parameters = await self._parameters(call)
        check_unload_parameters(parameters)
        for name, value in parameters.items():
            if type(value) is not bool:
                raise MalformedPayload(f"expected parameter '{name}' to be true or false, got {show(value)}")
        await self.lifecycle.unload(call.model)
        return json_response({})

    async def in_one_repository(self, _: Call) -> web.Response:
        """For load and unload with a repository in the path."""
        raise NotSupported(
            "a repository's name in the path is not supported, since a model has one name over all "
            "repositories: use /v2/repository/models/{model}/load or .../unload"
        )

    async def _parameters(self, call: Call, document: dict[str, Any] | None = None) -> Mapping[str, Any]:
        """`document`: the body, where it is read already."""
        parameters = (await self._object(call) if document is None else document).get("parameters", {})
        if type(parameters) is not dict:
            raise MalformedPayload(f"expected 'parameters' to be an object, got {show(parameters)}")
        return parameters

    async def _with_files(self, call: Call) -> dict[str, Any]:
        text = await self.body.read(call)
        return await self.large.by_size(len(text), parse_object, text, self.limits)

    async def _object(self, call: Call) -> dict[str, Any]:
        return await self.body.read_object(call, self.limits)


def index_row(entry: IndexEntry) -> IndexRow:
    """As the document has it, with what is ours."""
    state = entry.state.value if entry.state else ""
    return IndexRow(entry.name, entry.version, state, entry.reason, entry.memory.known())
