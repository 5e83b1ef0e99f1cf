"""Large texts are read in a process of their own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from onnxd.errors import MalformedPayload, Unavailable
from onnxd.http_frontend.json_process import JsonProcess
from onnxd.protocol.json_request import decode_infer_request
from onnxd.protocol.json_text import parse_object
from onnxd.protocol.limits import ProtocolLimits
from tests.support.until import until

LIMITS = ProtocolLimits()
HERE = 1000
"""Bytes up to which these tests read in this process."""


@pytest.fixture
async def large() -> AsyncIterator[JsonProcess]:
    process = JsonProcess(LIMITS, in_process_bytes=HERE)
    yield process
    await process.close()


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def where(large: JsonProcess, size: int) -> int:
    return await large.by_size(size, os.getpid)


async def test_a_small_text_is_read_here_and_a_large_one_elsewhere(large: JsonProcess) -> None:
    assert await where(large, HERE) == os.getpid()
    elsewhere = await where(large, HERE + 1)
    assert elsewhere == large.pid != os.getpid()
    assert await where(large, HERE + 1) == elsewhere
    assert large.calls == 2


async def test_a_request_that_was_read_elsewhere_is_what_it_would_be_here(large: JsonProcess) -> None:
    numbers = ",".join(map(str, range(100_000)))
    words = ",".join(f'"w{number}"' for number in range(1000))
    text = (
        '{"id": "7", "inputs": ['
        f'{{"name": "x", "datatype": "INT64", "shape": [100000], "data": [{numbers}]}},'
        f'{{"name": "t", "datatype": "BYTES", "shape": [1000], "data": [{words}]}}],'
        '"outputs": [{"name": "y", "parameters": {"binary_data": true}}], "parameters": {"timeout": 5}}'
    ).encode()
    here, there = [
        await process.by_size(
            len(text), decode_infer_request, text, None, model_name="m", model_version=2, limits=LIMITS
        )
        for process in (JsonProcess(LIMITS, in_process_bytes=2**30), large)
    ]
    assert large.calls == 1
    for name, array in here.inputs.items():
        assert there.inputs[name].dtype == array.dtype
        assert np.array_equal(there.inputs[name], array)
    assert (there.id, there.outputs, there.byte_size) == (here.id, here.outputs, here.byte_size)
    assert (there.model_name, there.model_version) == ("m", 2)
    assert there.queue_timeout_s == here.queue_timeout_s


async def test_what_is_wrong_with_a_text_is_said_as_here(large: JsonProcess) -> None:
    text = b"[" * 2000
    with pytest.raises(MalformedPayload, match="cannot be read"):
        await large.by_size(len(text), parse_object, text, LIMITS)
    assert await where(large, HERE + 1) == large.pid


async def test_a_bug_of_ours_is_no_fault_of_the_clients(large: JsonProcess) -> None:
    with pytest.raises(RuntimeError, match="invalid literal for int"):
        await large.by_size(HERE + 1, int, "x")


async def test_a_process_that_has_died_is_replaced(large: JsonProcess) -> None:
    first = await where(large, HERE + 1)
    os.kill(first, signal.SIGKILL)
    second = await where(large, HERE + 1)
    assert second != first


async def test_a_text_that_kills_the_process_is_refused(large: JsonProcess) -> None:
    with pytest.raises(Unavailable, match="has ended, perhaps for lack of memory"):
        await large.by_size(HERE + 1, os._exit, 1)
    assert await where(large, HERE + 1)


async def test_a_caller_that_gives_up_leaves_nothing_at_work(large: JsonProcess) -> None:
    await where(large, HERE + 1)
    assert large.pid is not None
    before = large.pid
    waiting = asyncio.ensure_future(large.by_size(HERE + 1, signal.pause))
    await until(lambda: asleep(before))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await where(large, HERE + 1) != before


def asleep(pid: int) -> bool:
    """It waits in pause(), not for its input."""
    return "pause" in Path(f"/proc/{pid}/wchan").read_text()


async def test_an_idle_process_ends() -> None:
    large = JsonProcess(LIMITS, in_process_bytes=HERE, idle_s=0.01)
    first = await where(large, HERE + 1)
    await until(lambda: gone(first))
    assert await where(large, HERE + 1) != first
    await large.close()


async def test_after_the_close_nothing_is_left() -> None:
    large = JsonProcess(LIMITS, in_process_bytes=HERE)
    pid = await where(large, HERE + 1)
    await large.close()
    await large.close()
    assert large.pid is None
    assert gone(pid)
