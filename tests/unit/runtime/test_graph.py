"""What a graph declares, and its way over the pipe."""

import json
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.graph import GraphSpec, GraphTensor, graph_from_json, graph_to_json
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.session_config import SessionConfig
from onnxd.tensors import Datatype
from tests.support import graphs


def graph_of(tmp_path: Path, model: bytes) -> GraphSpec:
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    return OnnxSession.open(path, SessionConfig(), threads=1).graph


def test_free_dimensions_are_minus_one_with_their_names(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, graphs.add_one(("batch", 3, "height", "height")))
    assert graph.inputs == (
        GraphTensor("x", Datatype.FP32, (-1, 3, -1, -1), ("batch", None, "height", "height")),
    )


def test_a_scalar_has_no_dimensions(tmp_path: Path) -> None:
    assert graph_of(tmp_path, graphs.scalar()).inputs == (GraphTensor("x", Datatype.FP32, ()),)


def test_an_unknown_rank_is_not_taken_for_a_scalar(tmp_path: Path) -> None:
    tensor = graph_of(tmp_path, graphs.identity(dims=None)).inputs[0]
    assert (tensor.shape, tensor.rank_known) == ((), False)


def test_an_overridable_initializer_is_an_optional_input(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, graphs.optional_initializer())
    assert [tensor.name for tensor in graph.inputs] == ["x"]
    assert graph.optional == (GraphTensor("bias", Datatype.FP32, (1,), (None,)),)


@pytest.mark.parametrize("datatype", list(Datatype))
def test_every_datatype_is_known(tmp_path: Path, datatype: Datatype) -> None:
    assert graph_of(tmp_path, graphs.identity(datatype)).outputs[0].datatype is datatype


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        pytest.param(graphs.sequence_input(), r"input 'x' is a seq\(tensor\(float\)\)", id="a sequence in"),
        pytest.param(
            graphs.sequence_output(), r"output 'y' is a seq\(tensor\(float\)\)", id="a sequence out"
        ),
        pytest.param(graphs.float8(), "input 'x' has elements of type float8e4m3fn", id="FP8"),
    ],
)
def test_what_the_protocol_cannot_carry_is_refused_by_name(tmp_path: Path, model: bytes, reason: str) -> None:
    with pytest.raises(LoadFailed, match=reason):
        graph_of(tmp_path, model)


def test_a_graph_survives_the_pipe(tmp_path: Path) -> None:
    graph = graph_of(tmp_path, graphs.optional_initializer())
    assert graph_from_json(json.loads(json.dumps(graph_to_json(graph)))) == graph
