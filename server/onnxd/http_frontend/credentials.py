"""What the head of an HTTP request says of who sent it."""

from aiohttp import web

from onnxd.security.gate import Credentials, Gate


def credentials_of(request: web.BaseRequest, gate: Gate) -> Credentials:
    """As they were sent, for the gate to judge."""
    headers = request.headers
    return Credentials(
        authorization=headers.getall("Authorization", ()),
        api_key=headers.getall("X-API-Key", ()),
        certificate=_names(request),
        restricted={name: headers[name] for name in gate.restricted_headers if name in headers},
        peer=request.remote or "",
    )


def _names(request: web.BaseRequest) -> list[str]:
    """The alternative names of the client's certificate: URIs first, then hosts. Never the subject's common
    name, which means nothing for certain."""
    certificate = None if request.transport is None else request.transport.get_extra_info("peercert")
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return [name for wanted in ("URI", "DNS") for kind, name in names if kind == wanted]
