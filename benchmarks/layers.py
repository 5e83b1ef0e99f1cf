"""Which layer of the server a line belongs to, by the module that it is in and what it calls. Pure."""

import re
from typing import Final

LAYERS: Final = (
    "loop and reading",
    "parse",
    "gate",
    "front end",
    "decode",
    "scheduler",
    "runtime",
    "ONNX Runtime",
    "encode",
    "write",
    "telemetry",
    "other",
    "other threads",
)
"""In about the order in which a request meets them."""

_RUNS: Final = re.compile(r"\b_sess\.run\w*\(|\bsession\.run\(|\.run_with_iobinding\(")
_WRITES: Final = re.compile(r"\.(write|writelines|sendall|sendmsg|send_serialized_message)\(")
_PARSES: Final = re.compile(r"\.feed_data\(|\.receive_data\(")
_BY_PATH: Final = (
    ("asyncio/runners.py", "loop and reading"),
    ("/uvloop/", "loop and reading"),
    ("/onnxd/security/", "gate"),
    ("/onnxd/http2/", "parse"),
    ("/onnxd/protocol/json_response.py", "encode"),
    ("/onnxd/protocol/proto_response.py", "encode"),
    ("/onnxd/protocol/compression.py", "encode"),
    ("/onnxd/protocol/", "decode"),
    ("/onnxd/scheduler/", "scheduler"),
    ("/onnxd/inference.py", "scheduler"),
    ("/onnxd/repository/", "scheduler"),
    ("/onnxd/runtime/", "runtime"),
    ("/onnxd/telemetry/", "telemetry"),
    ("/structlog/", "telemetry"),
    ("/onnxd/http_frontend/", "front end"),
    ("/onnxd/grpc_frontend/", "front end"),
    ("/onnxd/messages.py", "decode"),
    ("/aiohttp/", "parse"),
    ("/multidict/", "parse"),
    ("/yarl/", "parse"),
    ("/httptools/", "parse"),
    ("/hpack/", "parse"),
    ("/grpc/", "parse"),
    ("/asyncio/", "loop and reading"),
)


def layer_of(path: str, text: str) -> str:
    """`text` is the line's; one of LAYERS, but never "other threads"."""
    if _RUNS.search(text):
        return "ONNX Runtime"
    if _WRITES.search(text) and "onnxd/scheduler" not in path:
        return "write"
    if _PARSES.search(text):
        return "parse"
    return next((layer for part, layer in _BY_PATH if part in path), "other")
