"""What a call's metadata says of who makes it."""

from onnxd.grpc_frontend.context import Context
from onnxd.security.gate import Credentials, Gate
from onnxd.security.peer import grpc_peer_address
from onnxd.security.restrictions import GRPC_PREFIX


def credentials_of(context: Context, gate: Gate) -> Credentials:
    """As they were sent, for the gate to judge. Keys of metadata are in lower case already."""
    authorization: list[str] = []
    api_key: list[str] = []
    restricted: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if not isinstance(value, str):
            continue
        if key == "authorization":
            authorization.append(value)
        elif key == "x-api-key":
            api_key.append(value)
        elif key.startswith(GRPC_PREFIX):
            restricted[key.removeprefix(GRPC_PREFIX)] = value
    certificate: list[str] = []
    if gate.knows_certificates:
        names = context.auth_context().get("x509_subject_alternative_name", ())
        certificate = [bytes(name).decode("utf-8", "replace") for name in names]
    peer = grpc_peer_address(context.peer())
    return Credentials(authorization, api_key, certificate, restricted, GRPC_PREFIX, peer)
