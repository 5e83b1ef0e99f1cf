"""Inference over gRPC as bytes: what the server makes of a message, and what it answers, in one piece."""

from onnxd.messages import InferRequest, InferResponse
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.proto_decoder import InferDecoder
from onnxd.protocol.proto_response import encode_infer_response
from onnxd_protos import grpc_service_pb2 as pb

_LIMITS = ProtocolLimits()


def decode_message(message: pb.ModelInferRequest, limits: ProtocolLimits = _LIMITS) -> InferRequest:
    """As a client sends it."""
    return InferDecoder(limits).open(message.SerializeToString()).decode(remember=True)


def encode_message(response: InferResponse, *, in_stream: bool = False) -> bytes:
    """As a client gets it."""
    parts = encode_infer_response(response, in_stream=in_stream)
    return parts if isinstance(parts, bytes) else b"".join(parts)
