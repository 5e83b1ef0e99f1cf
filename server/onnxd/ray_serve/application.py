"""What a Ray Serve config imports: `import_path: onnxd.ray_serve.application:application`."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import ray
from ray import serve

from onnxd.protocol.documents import StatisticsRow
from onnxd.ray_serve.grpc_calls import Answer
from onnxd.ray_serve.replica import Replica
from onnxd.ray_serve.services import stream_paths, unary_paths
from onnxd.ray_serve.settings import replica_settings
from onnxd.settings.server_settings import ServerSettings

_ASK_S: Final = 10.0


class Deployed:
    """What Ray makes a replica of: the hooks that it looks for by name, and a method for each gRPC method."""

    def __init__(self, settings: ServerSettings) -> None:
        """Raises as Replica does."""
        context = serve.get_replica_context()
        self._deployment = context.deployment, context.app_name
        self._replica = Replica(
            settings,
            context.replica_tag,
            ray.get_runtime_context().get_assigned_resources(),
            self._ask_all,
        )

    def __serve_build_asgi_app__(self) -> Replica:
        return self._replica

    def check_health(self) -> None:
        """Raises RuntimeError when the engine has ended, and the replica is to be replaced."""
        if not self._replica.is_open():
            raise RuntimeError("the engine of this replica has ended; its log says why")

    async def statistics(self) -> tuple[StatisticsRow, ...]:
        """Of this replica, for the others."""
        return self._replica.statistics()

    async def _ask_all(self) -> Sequence[tuple[StatisticsRow, ...]]:
        asked = serve.get_deployment_handle(*self._deployment).broadcast("statistics")
        answers = await asked.results_async(timeout_s=_ASK_S, return_exceptions=True)
        # A replica that has just ended has counted nothing that anybody will ask for again.
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._replica.figures()


def _unary(name: str) -> Callable[..., Any]:
    async def call(self: Deployed, message: bytes, grpc_context: Any) -> Answer:
        return await self._replica.unary(name, message, grpc_context)

    call.__name__ = name
    return call


def _stream(name: str) -> Callable[..., Any]:
    async def call(
        self: Deployed, messages: AsyncIterator[bytes], grpc_context: Any
    ) -> AsyncIterator[Answer]:
        async for answer in self._replica.stream(name, messages, grpc_context):
            yield answer

    call.__name__ = name
    return call


for _name in unary_paths():
    setattr(Deployed, _name, _unary(_name))
for _name in stream_paths():
    setattr(Deployed, _name, _stream(_name))

deployment = serve.deployment(
    name="onnxd",
    max_ongoing_requests=1024,  # requests are to wait in the engine's queue, where they are batched
)(serve.ingress()(Deployed))


def application(args: dict[str, Any]) -> Any:
    """The application that a config's `args` and the variables ONNXD_... describe. Raises FaultySettings."""
    return deployment.bind(replica_settings(args, os.environ))
