"""One request, usually for one row, in each of its forms, and how its answer is read."""

import http.client
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import numpy as np

from onnxd_protos.grpc_service_pb2 import ModelInferRequest, ModelInferResponse

GRPC_METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
GRPC_STREAM: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
JSON_LENGTH_HEADER: Final = "Inference-Header-Content-Length"
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Payload:
    """What a load generator sends again and again."""

    wire: str
    """http json, http binary, grpc, or grpc stream."""
    path: str
    body: bytes
    """For gRPC with the five bytes that frame a message."""
    headers: Mapping[str, str] = field(default_factory=dict)


def payload(wire: str, model: str, width: int, rows: int = 1) -> Payload:
    """A request for FP32 [rows, width]."""
    row = np.resize(np.linspace(0, 1, width, dtype=np.float32), rows * width)
    path = f"/v2/models/{model}/infer"
    tensor: dict[str, Any] = {"name": "x", "shape": [rows, width], "datatype": "FP32"}
    if wire == "http json":
        tensor["data"] = [round(float(value), 4) for value in row]
        body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
        return Payload(wire, path, body, {"Content-Type": "application/json"})
    if wire == "http binary":
        tensor["parameters"] = {"binary_data_size": row.nbytes}
        head = json.dumps(
            {"inputs": [tensor], "parameters": {"binary_data_output": True}}, separators=(",", ":")
        ).encode()
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH_HEADER: str(len(head))}
        return Payload(wire, path, head + row.tobytes(), headers)
    message = ModelInferRequest(model_name=model, raw_input_contents=[row.tobytes()])
    message.inputs.add(name="x", datatype="FP32", shape=(rows, width))
    content = message.SerializeToString()
    method = GRPC_STREAM if wire == "grpc stream" else GRPC_METHOD
    return Payload(wire, method, struct.pack(">BI", 0, len(content)) + content)


def ask_http(port: int, asked: Payload, timeout_s: float = _TIMEOUT_S) -> tuple[int, bytes]:
    """Status and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("POST", asked.path, asked.body, dict(asked.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def get_json(port: int, path: str) -> Any:
    """A JSON document of the server."""
    return json.loads(get_text(port, path))


def get_text(port: int, path: str) -> str:
    """What the server has at a path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def ask_grpc(channel: grpc.Channel, asked: Payload) -> bytes:
    """The answer's message, as bytes. Raises grpc.RpcError."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(asked.path)
    return call(asked.body[5:], timeout=_TIMEOUT_S)


def ask_stream(channel: grpc.Channel, asked: Payload) -> bytes:
    """The answer's message to a stream of one. Raises grpc.RpcError."""
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(asked.path)
    (answer,) = call(iter([asked.body[5:]]), timeout=_TIMEOUT_S)
    return answer


def output_of(answer: bytes) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The first output in a gRPC answer."""
    return np.frombuffer(ModelInferResponse.FromString(answer).raw_output_contents[0], np.float32)
