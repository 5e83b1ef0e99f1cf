"""The same documents as messages: what gRPC answers besides inference."""

from collections.abc import Iterable, Sequence

from google.protobuf.json_format import ParseDict

from onnxd.protocol import documents
from onnxd.protocol.documents import IndexRow, StatisticsRow
from onnxd.tensors import ModelSpec
from onnxd_protos import grpc_service_pb2 as pb


def server_metadata(name: str, version: str, extensions: Sequence[str]) -> pb.ServerMetadataResponse:
    return pb.ServerMetadataResponse(name=name, version=version, extensions=extensions)


def model_metadata(spec: ModelSpec, versions: Iterable[int]) -> pb.ModelMetadataResponse:
    """`versions`: the one that was asked for, or all that are READY, ascending."""
    message = pb.ModelMetadataResponse(
        name=spec.name, versions=[str(version) for version in versions], platform=spec.platform
    )
    for field, tensors in ((message.inputs, spec.inputs), (message.outputs, spec.outputs)):
        for tensor in tensors:
            field.add(name=tensor.name, datatype=tensor.datatype.value, shape=spec.wire_shape(tensor))
    return message


def repository_index(rows: Iterable[IndexRow]) -> pb.RepositoryIndexResponse:
    return ParseDict(
        {"models": documents.repository_index(rows, extended=False)}, pb.RepositoryIndexResponse()
    )


def statistics(rows: Iterable[StatisticsRow]) -> pb.ModelStatisticsResponse:
    return ParseDict(documents.statistics(rows), pb.ModelStatisticsResponse())
