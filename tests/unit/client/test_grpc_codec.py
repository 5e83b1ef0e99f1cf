from typing import Any

import numpy as np
import pytest

from onnxd_client import tensors
from onnxd_client.codec import InferCall
from onnxd_client.errors import InvalidRequest, ServerError, ServerFault
from onnxd_client.grpc_codec import (
    GrpcCodec,
    ends_request,
    infer_request,
    infer_result,
    is_empty,
    stream_result,
)
from onnxd_client.proto_document import document
from onnxd_protos import grpc_service_pb2 as pb
from onnxd_protos import model_config_pb2 as config
from tests.unit.client.servers import METADATA, packed

CODEC = GrpcCodec()
PIXELS = tensors.encode("pixels", np.ones((1, 2), np.float32))
WORDS = tensors.encode("words", np.array(["a"], dtype=object))
Output = pb.ModelInferResponse.InferOutputTensor


def call(**changes: Any) -> InferCall:
    return InferCall(**{"model": "digits", "version": "", "inputs": (PIXELS, WORDS), **changes})


def test_an_inference_carries_raw_contents() -> None:
    request = infer_request(call(version="2", id="i"))
    assert (request.model_name, request.model_version, request.id) == ("digits", "2", "i")
    assert [(one.name, one.datatype, list(one.shape)) for one in request.inputs] == [
        ("pixels", "FP32", [1, 2]),
        ("words", "BYTES", [1]),
    ]
    assert list(request.raw_input_contents) == [np.ones(2, "<f4").tobytes(), packed(b"a")]
    assert not request.outputs


def test_outputs_and_classes_are_asked_for() -> None:
    request = infer_request(call(outputs={"scores": None, "label": 3}))
    assert [one.name for one in request.outputs] == ["scores", "label"]
    assert request.outputs[1].parameters["classification"].int64_param == 3


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, "bool_param"),
        (-1, "int64_param"),
        (2**63 - 1, "int64_param"),
        (2**64 - 1, "uint64_param"),
        ("x", "string_param"),
        (0.5, "double_param"),
    ],
)
def test_a_parameter_takes_the_type_of_its_value(value: Any, kind: str) -> None:
    parameter = infer_request(call(parameters={"x": value})).parameters["x"]
    assert parameter.WhichOneof("parameter_choice") == kind
    assert getattr(parameter, kind) == value


def test_priority_is_unsigned_as_other_clients_send_it() -> None:
    assert (
        infer_request(call(priority=0)).parameters["priority"].WhichOneof("parameter_choice")
        == "uint64_param"
    )


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1])
def test_a_number_beyond_64_bits_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="parameter 'x'"):
        infer_request(call(parameters={"x": value}))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"priority": -1}, id="priority"),
        pytest.param({"outputs": {"x": 0}}, id="classes"),
        pytest.param({"parameters": {"x": None}}, id="a parameter of nothing"),
        pytest.param({"parameters": {"x": [1]}}, id="a parameter of several"),
    ],
)
def test_what_makes_no_sense_on_either_wire_is_refused_before_sending(changes: Any) -> None:
    with pytest.raises(InvalidRequest, match="expected"):
        call(**changes)


def test_an_answer_is_read() -> None:
    result = infer_result(
        pb.ModelInferResponse(
            model_name="digits",
            model_version="2",
            id="i",
            parameters={"p": pb.InferParameter(int64_param=1)},
            outputs=[
                Output(name="x", datatype="FP32", shape=[2]),
                Output(name="y", datatype="BYTES", shape=[]),
            ],
            raw_output_contents=[np.array([1, 2], "<f4").tobytes(), packed(b"a")],
        )
    )
    assert (result.model_name, result.model_version, result.id) == ("digits", "2", "i")
    assert result.parameters == {"p": 1}
    assert result["x"].tolist() == [1, 2]
    assert result["y"].tolist() == b"a"


@pytest.mark.parametrize(
    ("datatype", "contents"),
    [
        ("BOOL", pb.InferTensorContents(bool_contents=[True])),
        ("INT8", pb.InferTensorContents(int_contents=[1])),
        ("UINT16", pb.InferTensorContents(uint_contents=[1])),
        ("INT64", pb.InferTensorContents(int64_contents=[1])),
        ("UINT64", pb.InferTensorContents(uint64_contents=[1])),
        ("FP32", pb.InferTensorContents(fp32_contents=[1])),
        ("FP64", pb.InferTensorContents(fp64_contents=[1])),
    ],
)
def test_an_answer_with_explicit_contents_is_read(datatype: str, contents: pb.InferTensorContents) -> None:
    reply = pb.ModelInferResponse(
        outputs=[Output(name="x", datatype=datatype, shape=[1, 1], contents=contents)]
    )
    array = infer_result(reply)["x"]
    assert (array.tolist(), array.dtype) == ([[1]], tensors.NUMPY[datatype])


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            pb.ModelInferResponse(
                outputs=[Output(name="x", datatype="FP32", shape=[1])] * 2, raw_output_contents=[b"1234"]
            ),
            id="data of one of two outputs",
        ),
        pytest.param(
            pb.ModelInferResponse(
                outputs=[Output(name="x", datatype="FP32", shape=[-1])], raw_output_contents=[b""]
            ),
            id="a negative shape",
        ),
        pytest.param(
            pb.ModelInferResponse(outputs=[Output(name="x", datatype="FP16", shape=[1])]),
            id="a datatype that needs raw contents",
        ),
        pytest.param(
            pb.ModelInferResponse(outputs=[Output(name="x", datatype="FP32", shape=[1])]), id="no data at all"
        ),
    ],
)
def test_an_answer_that_contradicts_itself_is_the_servers_fault(reply: pb.ModelInferResponse) -> None:
    with pytest.raises(ServerFault):
        infer_result(reply)


def test_metadata_is_read() -> None:
    found = CODEC.metadata("digits", "").read(pb.ModelMetadataResponse(**METADATA))
    assert found.versions == ("1", "2")
    assert (found.inputs[0].name, found.inputs[0].datatype, found.inputs[0].shape) == (
        "pixels",
        "FP32",
        (-1, 64),
    )


def test_a_stream_answer_is_a_result_or_an_error() -> None:
    good = pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(id="i"))
    assert stream_result(good).id == "i"
    with pytest.raises(ServerError, match="no such model"):
        stream_result(pb.ModelStreamInferResponse(error_message="no such model"))


def test_the_end_of_a_request_in_a_stream_is_found() -> None:
    plain = pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(outputs=[Output(name="x")]))
    assert ends_request(plain)
    assert not is_empty(plain)
    more = pb.ModelStreamInferResponse()
    more.infer_response.parameters["triton_final_response"].bool_param = False
    assert not ends_request(more)
    last = pb.ModelStreamInferResponse()
    last.infer_response.parameters["triton_final_response"].bool_param = True
    assert ends_request(last)
    assert is_empty(last)
    assert stream_result(last).parameters == {}


def test_a_config_becomes_the_json_that_http_sends() -> None:
    found = document(
        config.ModelConfig(
            name="m",
            max_batch_size=4,
            input=[config.ModelInput(name="x", data_type=config.TYPE_FP32, dims=[-1, 2**40])],
            dynamic_batching=config.ModelDynamicBatching(max_queue_delay_microseconds=5),
            parameters={"k": config.ModelParameter(string_value="v")},
        )
    )
    assert found["max_batch_size"] == 4
    assert found["input"][0]["data_type"] == "TYPE_FP32"
    assert found["input"][0]["dims"] == [-1, 2**40]
    assert found["dynamic_batching"]["max_queue_delay_microseconds"] == 5
    assert found["parameters"] == {"k": {"string_value": "v"}}
    assert (found["platform"], found["output"]) == ("", [])
    assert "sequence_batching" not in found


def test_statistics_become_the_json_that_http_sends() -> None:
    reply = pb.ModelStatisticsResponse(
        model_stats=[
            pb.ModelStatistics(
                name="m",
                inference_count=2**60,
                inference_stats=pb.InferStatistics(success=pb.StatisticDuration(count=1, ns=2)),
            )
        ]
    )
    (found,) = CODEC.statistics("m", "").read(reply)
    assert found["inference_count"] == 2**60
    assert found["inference_stats"] == {"success": {"count": 1, "ns": 2}}
    assert found["response_stats"] == {}
