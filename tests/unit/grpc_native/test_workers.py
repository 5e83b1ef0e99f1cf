"""Tasks that are used again."""

import asyncio

from onnxd.grpc_frontend.native.workers import Workers


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_next_job_is_done_by_who_has_done_the_last() -> None:
    seen: list[asyncio.Task[None] | None] = []

    async def job() -> None:
        seen.append(asyncio.current_task())

    async with asyncio.TaskGroup() as tasks:
        workers = Workers(tasks)
        for _ in range(3):
            workers.run(job())
            await settled()
        workers.close()
    assert len(set(seen)) == 1


async def test_jobs_at_a_time_have_a_worker_each() -> None:
    going = asyncio.Event()
    seen: set[asyncio.Task[None] | None] = set()

    async def job() -> None:
        seen.add(asyncio.current_task())
        await going.wait()

    async with asyncio.TaskGroup() as tasks:
        workers = Workers(tasks)
        for _ in range(3):
            workers.run(job())
        await settled()
        workers.close()  # each ends after its job
        going.set()
    assert len(seen) == 3


async def test_a_job_is_cancelled_and_its_worker_goes_on() -> None:
    ended: list[str] = []

    async def waiting() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def next_one() -> None:
        async with asyncio.timeout(5):  # which asks whether its task is being cancelled
            await asyncio.sleep(0)
        ended.append("next")

    async with asyncio.TaskGroup() as tasks:
        workers = Workers(tasks)
        first = waiting()
        worker = workers.run(first)
        await settled()
        worker.cancel(first)
        worker.cancel(first)
        await settled()
        second = next_one()
        assert workers.run(second) is worker
        worker.cancel(first)  # is over, and none of the second's business
        await settled()
        workers.close()
    assert ended == ["cancelled", "next"]


async def test_a_job_that_is_cancelled_before_it_begins_never_does() -> None:
    begun: list[str] = []

    async def job(name: str) -> None:
        begun.append(name)

    async with asyncio.TaskGroup() as tasks:
        workers = Workers(tasks)
        for name in ("on a new worker", "on one that waited"):
            first = job(name)
            worker = workers.run(first)
            worker.cancel(first)
            await settled()
        second = job("second")
        assert workers.run(second) is worker
        await settled()
        workers.close()
    assert begun == ["second"]
