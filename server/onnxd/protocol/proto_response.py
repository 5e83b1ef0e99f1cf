"""The answer to an inference request over gRPC: every output as raw bytes, at its own index."""

from onnxd.messages import InferResponse
from onnxd.protocol.binary import encode_tensor
from onnxd.tensors import datatype_of
from onnxd_protos import grpc_service_pb2 as pb


def encode_infer_response(response: InferResponse) -> pb.ModelInferResponse:
    """`raw_output_contents[i]` belongs to `outputs[i]`, even when empty: clients index it blindly."""
    message = pb.ModelInferResponse(
        model_name=response.model_name, model_version=str(response.model_version), id=response.id
    )
    outputs = message.outputs
    contents = message.raw_output_contents
    for name, array in response.outputs.items():
        outputs.add(name=name, datatype=datatype_of(array).value, shape=array.shape)
        # protobuf takes bytes only, and copies them once more.
        contents.append(bytes(encode_tensor(array)))
    return message
