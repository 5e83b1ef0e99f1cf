"""A network as an ONNX file: the same network gives the same bytes."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from sim_core.replays.documents import write_whole
from sim_core.training.network import HIDDEN_STEPS, MOST, Network

# Older than what onnx writes by default, so that older runtimes load the files.
IR_VERSION: Final = 9
OPSET: Final = 20


def write_policy(network: Network, path: Path, *, doc: str) -> None:
    """Makes the directory; the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, encode_policy(network, doc=doc))


def encode_policy(network: Network, *, doc: str) -> bytes:
    """The file's content."""
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(policy_graph(network), opset_imports=opsets, ir_version=IR_VERSION)
    model.producer_name = "onnxd"
    model.doc_string = doc
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def policy_graph(network: Network) -> onnx.GraphProto:
    """`observation` FP32 [batch, inputs] -> `scores` FP32 [batch, actions], `weights` INT64 [batch, 1].

    `weights` is the network's fingerprint in every row, so that an answer tells which weights it is from.
    """
    inputs, outputs = network.direct.shape
    initializers = [
        numpy_helper.from_array(network.direct, "direct"),
        numpy_helper.from_array(np.array([[network.fingerprint()]], np.int64), "fingerprint"),
        numpy_helper.from_array(np.array([0], np.int64), "first"),
        numpy_helper.from_array(np.array([1], np.int64), "second"),
    ]
    nodes = [
        # A column of the batch's length, whatever is in it; then the fingerprint in each of its rows.
        helper.make_node("Slice", ["observation", "first", "second", "second"], ["column"], name="column"),
        helper.make_node("IsNaN", ["column"], ["whatever"], name="whatever"),
        helper.make_node("Where", ["whatever", "fingerprint", "fingerprint"], ["weights"], name="weights"),
    ]
    if network.into.shape[1]:
        initializers += [
            numpy_helper.from_array(network.into, "into"),
            numpy_helper.from_array(network.out, "out"),
            numpy_helper.from_array(np.array(HIDDEN_STEPS, np.float32), "steps"),
            numpy_helper.from_array(np.array(0, np.float32), "least"),
            numpy_helper.from_array(np.array(MOST, np.float32), "most"),
        ]
        nodes += [
            helper.make_node("MatMul", ["observation", "direct"], ["straight"], name="straight"),
            helper.make_node("MatMul", ["observation", "into"], ["raw"], name="raw"),
            helper.make_node("Mul", ["raw", "steps"], ["scaled"], name="scaled"),
            helper.make_node("Round", ["scaled"], ["rounded"], name="rounded"),
            helper.make_node("Div", ["rounded", "steps"], ["stepped"], name="stepped"),
            helper.make_node("Clip", ["stepped", "least", "most"], ["hidden"], name="hidden"),
            helper.make_node("MatMul", ["hidden", "out"], ["bent"], name="bent"),
            helper.make_node("Add", ["straight", "bent"], ["scores"], name="scores"),
        ]
    else:
        nodes.append(helper.make_node("MatMul", ["observation", "direct"], ["scores"], name="scores"))
    return helper.make_graph(
        nodes,
        "policy",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", inputs])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", outputs]),
            helper.make_tensor_value_info("weights", TensorProto.INT64, ["batch", 1]),
        ],
        initializers,
    )
