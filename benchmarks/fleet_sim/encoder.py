"""A text model of the size that people serve on a CPU: six layers of attention over 128 tokens."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper, numpy_helper

TOKENS: Final = 128
_WIDTH: Final = 256
_INNER: Final = 1024
_LAYERS: Final = 6
_VOCABULARY: Final = 1000


def encoder(seed: int = 0) -> bytes:
    """pooled FP32 [batch, 256] of ids INT64 [batch, seq], about 1.3 billion operations a text of 128."""
    random = np.random.default_rng(seed)
    constants: dict[str, npt.NDArray[Any]] = {
        "table": random.standard_normal((_VOCABULARY, _WIDTH)).astype(np.float32),
        "scale": np.array(_WIDTH**-0.5, np.float32),
        "middle": np.array([1], np.int64),
    }
    nodes: list[Any] = [helper.make_node("Gather", ["table", "ids"], ["h0"])]
    for layer in range(_LAYERS):
        shapes = dict.fromkeys("qkv", (_WIDTH, _WIDTH)) | {"up": (_WIDTH, _INNER), "down": (_INNER, _WIDTH)}
        for name, shape in shapes.items():
            weights = random.standard_normal(shape) / shape[0] ** 0.5 / 4
            constants[f"{name}{layer}"] = weights.astype(np.float32)
        nodes += _layer(layer)
    nodes.append(helper.make_node("ReduceMean", [f"h{_LAYERS}", "middle"], ["pooled"], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ("batch", "seq"))],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ("batch", _WIDTH))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(built.SerializeToString(deterministic=True))


def _layer(at: int) -> list[Any]:
    """Attention, then two products with a rectifier between them, each added to what came."""
    begin, end = f"h{at}", f"h{at + 1}"
    return [
        *(helper.make_node("MatMul", [begin, f"{name}{at}"], [f"x{name}{at}"]) for name in "qkv"),
        helper.make_node("Transpose", [f"xk{at}"], [f"xt{at}"], perm=[0, 2, 1]),
        helper.make_node("MatMul", [f"xq{at}", f"xt{at}"], [f"raw{at}"]),
        helper.make_node("Mul", [f"raw{at}", "scale"], [f"scores{at}"]),
        helper.make_node("Softmax", [f"scores{at}"], [f"looks{at}"], axis=-1),
        helper.make_node("MatMul", [f"looks{at}", f"xv{at}"], [f"mixed{at}"]),
        helper.make_node("Add", [begin, f"mixed{at}"], [f"seen{at}"]),
        helper.make_node("MatMul", [f"seen{at}", f"up{at}"], [f"wide{at}"]),
        helper.make_node("Relu", [f"wide{at}"], [f"bent{at}"]),
        helper.make_node("MatMul", [f"bent{at}", f"down{at}"], [f"narrow{at}"]),
        helper.make_node("Add", [f"seen{at}", f"narrow{at}"], [end]),
    ]
