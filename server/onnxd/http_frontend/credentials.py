"""What the head of an HTTP request says of who sent it."""

from aiohttp import web

from onnxd.security.gate import Credentials, Gate


def credentials_of(request: web.BaseRequest, gate: Gate) -> Credentials:
    """As they were sent, for the gate to judge."""
    headers = request.headers
    return Credentials(
        authorization=headers.getall("Authorization", ()),
        api_key=headers.getall("X-API-Key", ()),
        restricted={name: headers[name] for name in gate.restricted_headers if name in headers},
    )
