"""The documents besides inference: what perf_analyzer and tritonclient look for is there."""

import json

import orjson
from google.protobuf.json_format import MessageToDict

from onnxd.protocol import documents, proto_documents
from onnxd.protocol.documents import Document, IndexRow, StatisticsRow
from onnxd.telemetry.statistics import BatchStatistics, Duration, StatisticsSnapshot
from onnxd.tensors import Datatype, TensorSpec
from tests.unit.protocol.builders import spec

BATCHING = spec(
    TensorSpec("image", Datatype.FP32, (-1, 3)),
    TensorSpec("flag", Datatype.BYTES, (), optional=True),
    max_batch_size=8,
)


def test_the_server_says_what_it_is() -> None:
    assert documents.server_metadata("onnxd", "0.1.0", ("statistics",)) == {
        "name": "onnxd",
        "version": "0.1.0",
        "extensions": ["statistics"],
    }
    message = proto_documents.server_metadata("onnxd", "0.1.0", documents.EXTENSIONS)
    assert list(message.extensions) == list(documents.EXTENSIONS)


def test_metadata_shows_the_batch_dimension_when_the_model_batches() -> None:
    document = documents.model_metadata(BATCHING, (1, 3))
    assert document == {
        "name": "m",
        "versions": ["1", "3"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "image", "datatype": "FP32", "shape": [-1, -1, 3]},
            {"name": "flag", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 10]}],
    }
    assert documents.model_metadata(spec(), (1,))["inputs"][0]["shape"] == [4]


def test_both_wires_say_the_same_of_a_model() -> None:
    message = proto_documents.model_metadata(BATCHING, (1, 3))
    assert plain(MessageToDict(message)) == plain(documents.model_metadata(BATCHING, (1, 3)))


def plain(document: Document) -> Document:
    """With 64-bit integers as protobuf's JSON writes them: as strings."""
    text = json.dumps(document)
    loaded: Document = json.loads(text, parse_int=str)
    return loaded


def test_the_index_leaves_out_what_is_not_known() -> None:
    rows = [IndexRow("a", 2, "READY"), IndexRow("b", 1, "UNAVAILABLE", "unloaded"), IndexRow("c")]
    assert documents.repository_index(rows) == [
        {"name": "a", "version": "2", "state": "READY"},
        {"name": "b", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
        {"name": "c"},
    ]
    entries = proto_documents.repository_index(rows).models
    assert [(e.name, e.version, e.state, e.reason) for e in entries] == [
        ("a", "2", "READY", ""),
        ("b", "1", "UNAVAILABLE", "unloaded"),
        ("c", "", "", ""),
    ]


ROW = StatisticsRow(
    "m",
    2,
    StatisticsSnapshot(
        last_inference_ms=1_700_000_000_000,
        inference_count=5,
        execution_count=2,
        success=Duration(3, 2**40),
        queue=Duration(3, 30),
        batches=(BatchStatistics(4, Duration(1, 1), Duration(1, 2), Duration(1, 3)),),
    ),
)


def test_statistics_have_every_duration_that_perf_analyzer_reads() -> None:
    (model,) = documents.statistics([ROW])["model_stats"]
    assert (model["name"], model["version"], model["last_inference"]) == ("m", "2", 1_700_000_000_000)
    durations = model["inference_stats"]
    names = "success fail queue compute_input compute_infer compute_output cache_hit cache_miss"
    assert list(durations) == names.split()
    assert all(type(d["count"]) is int and type(d["ns"]) is int for d in durations.values())
    assert durations["success"] == {"count": 3, "ns": 2**40}
    assert model["batch_stats"] == [
        {
            "batch_size": 4,
            "compute_input": {"count": 1, "ns": 1},
            "compute_infer": {"count": 1, "ns": 2},
            "compute_output": {"count": 1, "ns": 3},
        }
    ]
    orjson.dumps(model)


def test_both_wires_say_the_same_of_the_statistics() -> None:
    message = proto_documents.statistics([ROW])
    printed = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    assert plain(printed) == plain(documents.statistics([ROW]))
