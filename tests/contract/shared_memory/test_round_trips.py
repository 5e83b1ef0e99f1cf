"""Every datatype and form through shared memory, in and out, and back to the bit: with tritonclient's own
segments, and models that ONNX Runtime runs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.utils.shared_memory as triton_memory
from tritonclient.utils import serialize_byte_tensor

from onnxd.shared_memory.config import SharedMemoryConfig
from onnxd.tensors import Array, Datatype
from tests.contract.shared_memory.wire import WIRES, Answered, At, Shared
from tests.contract.stand import fill, settle
from tests.contract.test_client_inference import SHAPES, sample
from tests.support.server import RunningServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS: Final = tuple(f"{kind}_{form}" for kind in ("every", "bf16") for form in ("scalar", "vector", "cube"))
SIZE: Final = 4096
HALF: Final = SIZE // 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningServer]:
    """The whole server, with shared memory switched on."""
    root: Path = tmp_path_factory.mktemp("shared-memory")
    (root / "models").mkdir()
    fill(root / "models", MODELS)
    switched_on = SharedMemoryConfig(enabled=True)
    async with running_server(root / "models", root / "state", shared_memory=switched_on) as running:
        await settle(running)
        yield running


def as_bytes(array: Array) -> bytes:
    if array.dtype != np.object_:
        return array.tobytes()
    content: bytes = serialize_byte_tensor(array).item() if array.size else b""
    return content


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("form", "shape"), SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("datatype", Datatype, ids=lambda datatype: datatype.value)
async def test_a_tensor_comes_back_from_shared_memory_bit_by_bit(
    server: RunningServer, wire: str, form: str, shape: tuple[int, ...], datatype: Datatype
) -> None:
    sent = {each: as_bytes(sample(each, shape)) for each in _of_one_model(datatype)}
    places: dict[Datatype, At] = {}
    at = 0
    for each, content in sent.items():
        places[each] = At("r", len(content), at)
        at += len(content)
    content = b"".join(sent.values())
    assert len(content) <= HALF

    port = (server.server.http if wire == "HTTP" else server.server.grpc).port
    memory = triton_memory.create_shared_memory_region("r", f"test_{wire}_{datatype.value}", SIZE)
    try:
        triton_memory.set_shared_memory_region(memory, [np.frombuffer(content, np.uint8)])
        async with WIRES[wire](port) as client:
            await client.register("r", f"/test_{wire}_{datatype.value}", SIZE)
            expected = sent[datatype]
            answer = await client.infer(
                _model(datatype, form),
                {_name("in", "x", each): Shared(place, each.value, shape) for each, place in places.items()},
                {_name("out", "y", datatype): At("r", len(expected), HALF)},
            )
            await client.unregister("r")
        assert answer == {_name("out", "y", datatype): Answered(datatype.value, shape, None)}
        got = triton_memory.get_contents_as_numpy(memory, np.uint8, [len(expected)], HALF)
        assert got.tobytes() == expected
        del got
    finally:
        triton_memory.destroy_shared_memory_region(memory)


def _of_one_model(datatype: Datatype) -> list[Datatype]:
    if datatype is Datatype.BF16:
        return [datatype]
    return [each for each in Datatype if each is not Datatype.BF16]


def _model(datatype: Datatype, form: str) -> str:
    return f"bf16_{form}" if datatype is Datatype.BF16 else f"every_{form}"


def _name(prefix: str, alone: str, datatype: Datatype) -> str:
    return alone if datatype is Datatype.BF16 else f"{prefix}_{datatype.value.lower()}"
