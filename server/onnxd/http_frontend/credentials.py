"""What the head of an HTTP request says of who sent it."""

import asyncio

from multidict import MultiMapping

from onnxd.security.gate import NONE, Credentials, Gate


def credentials_of(
    headers: MultiMapping[str], peer: str, transport: asyncio.BaseTransport | None, gate: Gate
) -> Credentials:
    """As they were sent, for the gate to judge."""
    looked_at = gate.restricted_headers
    return Credentials(
        headers.getall("Authorization", ()),
        headers.getall("X-API-Key", ()),
        _names(transport) if gate.knows_certificates else (),
        {name: headers[name] for name in looked_at if name in headers} if looked_at else NONE,
        "",
        peer,
    )


def _names(transport: asyncio.BaseTransport | None) -> list[str]:
    """The alternative names of the client's certificate: URIs first, then hosts. Never the subject's common
    name, which means nothing for certain."""
    certificate = None if transport is None else transport.get_extra_info("peercert")
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return [name for wanted in ("URI", "DNS") for kind, name in names if kind == wanted]
