"""The fleet of benchmarks/fleet_sim/engine.py beside one whose replicas are the server's own schedulers."""

import asyncio
from functools import partial
from typing import Final

import numpy as np

from benchmarks.fleet_sim.balancers import Balancer
from benchmarks.fleet_sim.engine import Fleet, Traffic
from benchmarks.fleet_sim.measure import Service
from benchmarks.simulation import BatchWhileBusy, Floats, Former, Instance
from benchmarks.virtual_loop import VirtualClock, run_virtually
from onnxd.messages import InferRequest

MOST_S: Final = 1e-9
"""The clocks differ by roundings."""


def farthest_s(service: Service, one: Balancer, same: Balancer, replicas: int, traffic: Traffic) -> float:
    """The most by which a latency differs between the two; both balancers are new, and alike."""
    lean = Fleet(service, one, replicas).run(traffic).latencies_s
    real = run_virtually(_real(service, same, replicas, traffic))
    return float(np.max(np.abs(lean - real)))


async def _real(service: Service, balancer: Balancer, replicas: int, traffic: Traffic) -> Floats:
    loop = asyncio.get_running_loop()
    clock = VirtualClock(loop)
    sizes = range(1, service.max_rows + 1)
    policy = BatchWhileBusy(warm_up={rows: service.line.at(rows) for rows in sizes})
    formers = [
        policy.former([Instance(clock, service.line.at)], service.max_rows, clock) for _ in range(replicas)
    ]
    balancer.follow(range(replicas))
    latencies = np.zeros(len(traffic.at_s))
    sent = loop.create_future()

    async def send(number: int) -> None:
        start_s, client = clock.now_s(), int(traffic.clients[number])
        replica = balancer.choose(client, start_s)
        balancer.began(client, replica)
        await _answered(formers[replica])
        balancer.ended(client, replica)
        latencies[number] = clock.now_s() - start_s

    def begin(tasks: asyncio.TaskGroup, number: int) -> None:
        tasks.create_task(send(number))
        if number == len(latencies) - 1:
            sent.set_result(None)

    async with asyncio.TaskGroup() as tasks:
        for number, at_s in enumerate(traffic.at_s):
            loop.call_at(float(at_s), partial(begin, tasks, number))
        await sent
    return latencies


async def _answered(former: Former) -> None:
    request = InferRequest("simulated", {"x": np.zeros(1, np.uint8)})
    await former.submit(request, 1, ("y",))
