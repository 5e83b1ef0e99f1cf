"""What the head of an HTTP request says of who sent it."""

import asyncio

from multidict import MultiMapping

from onnxd.security.gate import Credentials, Gate


def credentials_of(
    headers: MultiMapping[str], peer: str, transport: asyncio.BaseTransport | None, gate: Gate
) -> Credentials:
    """As they were sent, for the gate to judge."""
    return Credentials(
        authorization=headers.getall("Authorization", ()),
        api_key=headers.getall("X-API-Key", ()),
        certificate=_names(transport),
        restricted={name: headers[name] for name in gate.restricted_headers if name in headers},
        peer=peer,
    )


def _names(transport: asyncio.BaseTransport | None) -> list[str]:
    """The alternative names of the client's certificate: URIs first, then hosts. Never the subject's common
    name, which means nothing for certain."""
    certificate = None if transport is None else transport.get_extra_info("peercert")
    names = certificate.get("subjectAltName", ()) if certificate else ()
    return [name for wanted in ("URI", "DNS") for kind, name in names if kind == wanted]
