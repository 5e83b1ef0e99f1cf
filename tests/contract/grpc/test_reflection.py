"""Server reflection, as grpcurl uses it (v1alpha) and as newer tools do (v1), and calls by grpcurl."""

import asyncio
import json
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from onnxd.grpc_frontend.config import GrpcConfig
from onnxd_protos.pool import POOL
from onnxd_protos.services import NEURAL_SERVICE
from tests.support.grpc_server import GrpcCalls, GrpcServer, grpc_calls, grpc_server
from tests.support.grpc_transports import TRANSPORTS
from tests.support.server import RunningServer
from tests.support.serving import Serving

pytestmark = pytest.mark.asyncio(loop_scope="session")
on_each = pytest.mark.parametrize("whole", TRANSPORTS, indirect=True)

GRPCURL = Path(sys.executable).with_name("grpcurl")
SERVICES = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "neural.NeuralService",
}


async def grpcurl(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        GRPCURL, "-plaintext", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


@on_each
async def test_grpcurl_lists_every_service(whole: RunningServer) -> None:
    code, output, errors = await grpcurl(whole.grpc, "list")
    assert (code, errors) == (0, "")
    assert set(output.split()) == SERVICES


@on_each
@pytest.mark.parametrize("service", sorted(SERVICES))
async def test_grpcurl_describes_every_service_and_its_messages(whole: RunningServer, service: str) -> None:
    descriptor = POOL.FindServiceByName(service)
    code, output, errors = await grpcurl(whole.grpc, "describe", service)
    assert (code, errors) == (0, "")
    for method in descriptor.methods:
        assert f"rpc {method.name} " in output
    message = descriptor.methods[0].input_type.full_name
    code, output, errors = await grpcurl(whole.grpc, "describe", message)
    assert (code, errors) == (0, "")
    assert output.startswith(f"{message} is a message")


@on_each
async def test_grpcurl_infers_in_json(whole: RunningServer) -> None:
    request = {
        "model_name": "identity",
        "id": "7",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 4], "contents": {"fp32_contents": [1, 2, 3, 4]}}
        ],
    }
    code, output, errors = await grpcurl(
        "-d", json.dumps(request), whole.grpc, "inference.GRPCInferenceService/ModelInfer"
    )
    assert (code, errors) == (0, "")
    answer = json.loads(output)
    assert (answer["modelName"], answer["modelVersion"], answer["id"]) == ("identity", "1", "7")
    assert np.frombuffer(b64decode(answer["rawOutputContents"][0]), np.float32).tolist() == [1, 2, 3, 4]


@on_each
async def test_grpcurl_uses_the_simple_face(whole: RunningServer) -> None:
    rows = '{"inputs": [1, 2, 3, 4]} {"inputs": [5, 6, 7, 8]}'
    code, output, errors = await grpcurl("-d", rows, whole.grpc, "neural.NeuralService/InferStream")
    assert (code, errors) == (0, "")
    assert "".join(output.split()) == '{"outputs":[2.5]}{"outputs":[6.5]}'
    code, output, _ = await grpcurl(
        "-d", '{"inputs": [1, 2, 3, 4]}', whole.grpc, "neural.NeuralService/Infer"
    )
    assert (code, json.loads(output)) == (0, {"outputs": [2.5]})


@on_each
async def test_grpcurl_shows_our_words_for_an_error(whole: RunningServer) -> None:
    code, _, errors = await grpcurl("-d", '{"inputs": [1]}', whole.grpc, "neural.NeuralService/Infer")
    assert code != 0
    assert "Code: InvalidArgument" in errors
    assert "got a row of 1 numbers" in errors


@on_each
async def test_grpcurl_checks_the_health(whole: RunningServer) -> None:
    code, output, _ = await grpcurl(whole.grpc, "grpc.health.v1.Health/Check")
    assert (code, json.loads(output)) == (0, {"status": "SERVING"})


def message_class(name: str) -> type[Message]:
    return GetMessageClass(POOL.FindMessageTypeByName(name))


async def reflect(calls: GrpcCalls, version: str, *requests: dict[str, Any]) -> list[Any]:
    """The answers of one reflection stream, in the messages of that version."""
    request_class = message_class(f"grpc.reflection.{version}.ServerReflectionRequest")
    response_class = message_class(f"grpc.reflection.{version}.ServerReflectionResponse")
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    call: Any = calls.channel.stream_stream(path, request_class.SerializeToString, response_class.FromString)
    stream = call()
    for fields in requests:
        await stream.write(request_class(**fields))
    await stream.done_writing()
    answers = []
    while (answer := await stream.read()) is not grpc.aio.EOF:
        answers.append(answer)
    return answers


@on_each
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_both_versions_answer_everything_that_can_be_asked(calls: GrpcCalls, version: str) -> None:
    listed, by_symbol, by_name, unknown, extension, nothing = await reflect(
        calls,
        version,
        {"list_services": ""},
        {"file_containing_symbol": "inference.GRPCInferenceService"},
        {"file_by_filename": "grpc_service.proto"},
        {"file_containing_symbol": "no.such.Symbol"},
        {"file_containing_extension": {"containing_type": "neural.InferenceRequest", "extension_number": 9}},
        {},
    )
    assert {service.name for service in listed.list_services_response.service} == SERVICES
    for answer in (by_symbol, by_name):
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        assert {file.name for file in files} == {"grpc_service.proto", "model_config.proto"}
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert extension.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert nothing.error_response.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


@pytest.mark.asyncio(loop_scope="function")
async def test_garbage_is_refused_in_our_words(server: GrpcServer) -> None:
    for path in (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Watch",
        f"/{NEURAL_SERVICE}/InferStream",
    ):
        call: Any = server.calls.channel.stream_stream(path)
        stream = call()
        await stream.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (raised.value.details() or "").startswith("the bytes sent are not a ")


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_it_can_be_switched_off(stand: Serving, quiet: None, version: str) -> None:
    async with grpc_server(stand, GrpcConfig(port=0, reflection=False)) as server:
        async with grpc_calls(server.address) as calls:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await reflect(calls, version, {"list_services": ""})
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await server.calls.assert_well()
