"""How a call's end is written: headers and trailers."""

import base64
import string
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from onnxd.grpc_frontend.native.head import READABLE
from onnxd.grpc_frontend.status_code import StatusCode
from onnxd.http2.head_block import encode_block
from onnxd.http2.stream import Header
from onnxd.protocol.compression import Encoding

_ANSWER: Final[list[Header]] = [
    (b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-accept-encoding", READABLE),
]  # fmt: skip
ANSWERS: Final[dict[Encoding | None, bytes]] = {
    None: encode_block(_ANSWER),
    "gzip": encode_block([*_ANSWER, (b"grpc-encoding", b"gzip")]),
    "deflate": encode_block([*_ANSWER, (b"grpc-encoding", b"deflate")]),
}
"""The head of an answer by how its messages are compressed, encoded."""
OK: Final = encode_block([(b"grpc-status", b"0")])
"""The trailers of an answer, encoded."""
_AS_IT_IS: Final = "".join(
    character for character in string.printable if " " <= character <= "~" and character != "%"
)


def trailers(status: StatusCode, details: str, more: Iterable[tuple[str, str | bytes]] = ()) -> list[Header]:
    """Of a call that is refused."""
    fields = [(b"grpc-status", str(status.value).encode())]
    if details:
        fields.append((b"grpc-message", quote(details, safe=_AS_IT_IS, errors="replace").encode()))
    for key, value in more:
        written = value.encode() if isinstance(value, str) else value
        if key.endswith("-bin"):
            written = base64.b64encode(written).rstrip(b"=")
        fields.append((key.encode(), written))
    return fields


def trailers_only(fields: list[Header]) -> list[Header]:
    """The trailers as a whole answer (gRPC over HTTP/2: Trailers-Only)."""
    return [*_ANSWER, *fields]


def not_grpc(status: bytes, text: str) -> list[Header]:
    """The answer to what is no call, in HTTP's terms and in gRPC's for whoever reads those."""
    allow = [(b"allow", b"POST")] if status == b"405" else []
    code = StatusCode.UNIMPLEMENTED
    return [(b":status", status), *allow, (b"content-type", b"application/grpc"), *trailers(code, text)]
