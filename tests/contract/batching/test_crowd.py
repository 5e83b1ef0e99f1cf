"""A thousand clients of a model at once."""

import asyncio
import random
import time

import numpy as np
import pytest

from onnxd.errors import DeadlineExceeded, QueueFull
from onnxd.messages import InferRequest
from onnxd.tensors import Array
from tests.contract.batching.stand import batcher_of
from tests.support.server import RunningServer
from tests.support.until import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_thousand_clients_leave_every_counter_at_zero(server: RunningServer) -> None:
    inference, batcher = server.server.inference, batcher_of(server, "crowded")
    served = inference.served("crowded", None)
    before = served.statistics.snapshot()
    chance = random.Random(4)

    async def ask() -> Array:
        rows = chance.randint(1, 8)
        deadline_s = chance.choice((None, 0.01, 0.2, 9.0))
        request = InferRequest(
            "crowded",
            {"x": np.full((rows, 4), rows, np.float32), "steps": np.zeros((rows, 1), np.int64)},
            priority=chance.randint(0, 3),
            byte_size=rows * 24,
            deadline_s=None if deadline_s is None else time.monotonic() + deadline_s,
        )
        output = (await inference.infer(request)).outputs["y"]
        assert output.tolist() == [[float(rows)] * 4] * rows
        return output

    clients = [asyncio.ensure_future(ask()) for _ in range(1000)]
    for place in chance.sample(range(1000), 200):
        asyncio.get_running_loop().call_later(chance.random() / 10, clients[place].cancel)
    outcomes = await asyncio.gather(*clients, return_exceptions=True)
    unexpected = [
        outcome
        for outcome in outcomes
        if isinstance(outcome, BaseException)
        and not isinstance(outcome, QueueFull | DeadlineExceeded | asyncio.CancelledError)
    ]
    assert unexpected == []
    await until(lambda: batcher.running == 0)
    assert (batcher.waiting_requests, batcher.waiting()) == (0, ())
    assert (inference.in_flight, served.leases) == (0, 0)
    counted = served.statistics.snapshot()
    ended = counted.success.count + counted.fail.count - before.success.count - before.fail.count
    # Those that had left before they came to the queue are in nobody's count.
    assert ended <= 1000
    assert counted.fail.count == sum(counted.failures.values())
    assert counted.success.count - before.success.count >= sum(
        isinstance(outcome, np.ndarray) for outcome in outcomes
    )
