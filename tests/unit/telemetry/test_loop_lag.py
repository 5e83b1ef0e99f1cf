"""How late the loop was, on a clock that the test moves."""

import asyncio

import pytest

from onnxd.telemetry.loop_lag import LoopLag


def test_the_latest_is_told_for_fifteen_to_thirty_seconds() -> None:
    lag = LoopLag()
    told = []
    for now_s, late_s in [(0, 0.01), (1, 0.5), (2, 0.02), (16, 0.03), (29, 0.0), (31.5, 0.0)]:
        lag.note(late_s, now_s)
        told.append(lag.worst_s)
    assert told == [0.01, 0.5, 0.5, 0.5, 0.5, 0.03]


async def test_it_is_noted_while_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxd.telemetry.loop_lag._EVERY_S", 0.001)
    noted = asyncio.Event()
    lag = LoopLag()
    monkeypatch.setattr(lag, "note", lambda *_: noted.set())
    async with lag, asyncio.timeout(20):
        await noted.wait()
