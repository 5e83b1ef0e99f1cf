"""What padding gives and what it costs: texts of 1 to 128 tokens, by their shape and on buckets.

    python -m benchmarks.shapes [--short] [--requests N]

One attention layer with a mask, three times on one server: batched by shape alone, on buckets of 32, 64 and
128, and on one bucket of 128. The same requests go to each, 64 in flight over HTTP. Exits 1 when a request
fails, when an answer differs from the model's own, when the counted padding is not what was sent, or when
padding does not make fuller batches.
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness import scratch, server
from benchmarks.models import publish
from benchmarks.table import show

Ids = npt.NDArray[np.int64]

IN_FLIGHT: Final = 64
TOLERANCE: Final = 1e-4
"""Absolute, of values around 1."""
_WIDTH: Final = 128
_VOCABULARY: Final = 1000
_LONGEST: Final = 128
_AXES: Final = "max_batch_size: 32\ndynamic_axes: {{seq: {{buckets: {}, mask_input: mask}}}}\n"
CONFIGS: Final = {
    "by shape": "max_batch_size: 32\n",
    "buckets 32, 64, 128": _AXES.format("[32, 64, 128]"),
    "bucket 128": _AXES.format("[128]"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to batch."""

    seconds: float
    rows_in_a_run: float
    waste: float
    """Share of padding in what was run."""
    real: float
    """Elements that were run and are no padding; 0 where nothing is padded."""
    worst: float
    """The farthest that an answer is from the model's own."""


def attention() -> bytes:
    """pooled FP32 [batch, 128] of ids and mask, INT64 [batch, seq]: one layer of attention, and its mean."""
    random = np.random.default_rng(0)

    def weights(*shape: int) -> npt.NDArray[np.float32]:
        return np.asarray(random.standard_normal(shape) / shape[0] ** 0.5, np.float32)

    constants: dict[str, npt.NDArray[Any]] = {
        "table": random.standard_normal((_VOCABULARY, _WIDTH)).astype(np.float32),
        **{name: weights(_WIDTH, _WIDTH) for name in "qkv"},
        "one": np.array(1, np.float32),
        "far": np.array(-1e9, np.float32),
        "scale": np.array(_WIDTH**-0.5, np.float32),
        "middle": np.array([1], np.int64),
        "last": np.array([2], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["x"]),
        *(helper.make_node("MatMul", ["x", name], [f"x{name}"]) for name in "qkv"),
        helper.make_node("Transpose", ["xk"], ["xk_t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["xq", "xk_t"], ["raw"]),
        helper.make_node("Mul", ["raw", "scale"], ["scores"]),
        helper.make_node("Cast", ["mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "real"], ["missing"]),
        helper.make_node("Mul", ["missing", "far"], ["away"]),
        helper.make_node("Unsqueeze", ["away", "middle"], ["bias"]),
        helper.make_node("Add", ["scores", "bias"], ["biased"]),
        helper.make_node("Softmax", ["biased"], ["looks"], axis=-1),
        helper.make_node("MatMul", ["looks", "xv"], ["mixed"]),
        helper.make_node("Add", ["x", "mixed"], ["hidden"]),
        helper.make_node("Unsqueeze", ["real", "last"], ["weights"]),
        helper.make_node("Mul", ["hidden", "weights"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "middle"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["pooled"]),
    ]
    graph = helper.make_graph(
        nodes,
        "attention",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ("batch", "seq"))
            for name in ("ids", "mask")
        ],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ("batch", _WIDTH))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return bytes(built.SerializeToString(deterministic=True))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="300 requests")
    parser.add_argument("--requests", type=int)
    options = parser.parse_args()
    count: int = options.requests or (300 if options.short else 3000)
    random = np.random.default_rng(1)
    sent = [random.integers(0, _VOCABULARY, (1, int(random.integers(1, _LONGEST + 1)))) for _ in range(count)]
    session = onnxruntime.InferenceSession(attention())
    expected = [session.run(None, {"ids": ids, "mask": np.ones_like(ids)})[0] for ids in sent]
    with scratch() as directory:
        names = {config: f"model{number}" for number, config in enumerate(CONFIGS)}
        for config, name in names.items():
            publish(directory / "models", name, attention(), CONFIGS[config])
        with server(directory / "models", directory / "state") as running:
            measured = {
                config: asyncio.run(_measure(running.http_port, name, sent, expected))
                for config, name in names.items()
            }
    base = measured["by shape"]
    rows = [
        [
            config,
            f"{each.rows_in_a_run:.1f}",
            f"{each.waste:.0%}",
            f"{base.seconds / each.seconds:.2f}",
            f"{each.worst:.1e}",
        ]
        for config, each in measured.items()
    ]
    columns = ["", "mean batch", "padding", "throughput, by shape = 1", "farthest answer"]
    show(f"{count} texts of 1 to {_LONGEST} tokens, {IN_FLIGHT} in flight", columns, rows)
    return _verdict(measured, sum(ids.size for ids in sent))


def _verdict(measured: dict[str, Measured], elements: int) -> int:
    misses = []
    for config, each in measured.items():
        if each.worst > TOLERANCE:
            misses.append(f"{config}: an answer is off by {each.worst}")
        if config != "by shape" and each.real != elements:
            misses.append(f"{config}: {each.real:.0f} elements were counted, {elements} were sent")
        if config != "by shape" and each.rows_in_a_run <= measured["by shape"].rows_in_a_run:
            misses.append(f"{config}: batches are not fuller than those by shape")
    for miss in misses:
        print(f"MISS: {miss}")
    return 1 if misses else 0


async def _measure(port: int, model: str, sent: list[Ids], expected: list[npt.NDArray[Any]]) -> Measured:
    url = f"http://127.0.0.1:{port}"
    waiting = iter(zip(sent, expected, strict=True))
    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(url, connector=connector, raise_for_status=True) as session:
        start_s = time.monotonic()
        worst = await asyncio.gather(*(_ask(session, model, waiting) for _ in range(IN_FLIGHT)))
        seconds = time.monotonic() - start_s
        async with session.get("/metrics") as answer:
            counted = dict(_counters(await answer.text(), model))
    elements, padding = counted["onnxd_dynamic_elements_total"], counted["onnxd_padding_elements_total"]
    return Measured(
        seconds=seconds,
        rows_in_a_run=counted["nv_inference_count"] / counted["nv_inference_exec_count"],
        waste=padding / elements if elements else 0.0,
        real=elements - padding,
        worst=max(worst),
    )


async def _ask(
    session: aiohttp.ClientSession, model: str, waiting: Iterator[tuple[Ids, npt.NDArray[Any]]]
) -> float:
    """One client: request after request, as long as there are any. How far off the farthest answer was."""
    worst = 0.0
    for ids, expected in waiting:
        tensors = [("ids", ids), ("mask", np.ones_like(ids))][: 1 if model != "model0" else 2]
        inputs = [
            {"name": name, "datatype": "INT64", "shape": array.shape, "data": array.ravel().tolist()}
            for name, array in tensors
        ]
        async with session.post(f"/v2/models/{model}/infer", json={"inputs": inputs}) as answer:
            document = await answer.json()
        got = np.array(document["outputs"][0]["data"], np.float32)
        worst = max(worst, float(np.max(np.abs(got - expected.ravel()))))
    return worst


def _counters(text: str, model: str) -> Iterator[tuple[str, float]]:
    families = text_string_to_metric_families(text)
    for sample in itertools.chain.from_iterable(family.samples for family in families):
        if sample.labels.get("model") == model:
            name = sample.name if sample.name.startswith("onnxd_") else sample.name.removesuffix("_total")
            yield name, sample.value


if __name__ == "__main__":
    sys.exit(main())
