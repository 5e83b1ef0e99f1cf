"""What Ray's gRPC proxies are told of our services: which methods there are. They run none of them.

A proxy parses what it passes on unless its methods take bytes, as ours do: the replica reads the messages.
It also chooses the replica's method by the last word of the path alone, so no two methods may share a name.
"""

from typing import Any, Final

import grpc

from onnxd_protos.services import SERVICES

HEALTH: Final = "grpc.health.v1.Health"
REFLECTION: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_REFLECTION_METHOD: Final = "ServerReflectionInfo"


def unary_paths() -> dict[str, str]:
    """The path of each method of one message, by the name of the replica's method.

    Not Watch of the health service: it has no end, and a replica that ends is waited for until it has.
    """
    named = {
        name: method.path
        for methods in SERVICES.values()
        for name, method in methods.items()
        if not method.client_streaming
    }
    return {**named, "Check": f"/{HEALTH}/Check"}


def stream_paths() -> dict[str, str]:
    """The same of methods both sides of which are streams. The two versions of reflection share a method:
    on the wire they are one."""
    named = {
        name: method.path
        for methods in SERVICES.values()
        for name, method in methods.items()
        if method.client_streaming
    }
    return {**named, _REFLECTION_METHOD: f"/{REFLECTION[0]}/{_REFLECTION_METHOD}"}


def add_to_proxy(servicer: Any, server: Any) -> None:
    """Register every service; for `grpc_options.grpc_servicer_functions`."""
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for name, path in unary_paths().items():
        service = services.setdefault(path.split("/")[1], {})
        service[name] = grpc.unary_unary_rpc_method_handler(getattr(servicer, name))
    for name, path in stream_paths().items():
        service = services.setdefault(path.split("/")[1], {})
        service[name] = grpc.stream_stream_rpc_method_handler(getattr(servicer, name))
    services[REFLECTION[1]] = services[REFLECTION[0]]
    for service_name, handlers in services.items():
        handler = grpc.method_handlers_generic_handler(service_name, handlers)
        server.add_generic_rpc_handlers((handler,))
