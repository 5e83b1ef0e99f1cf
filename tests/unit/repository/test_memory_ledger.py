"""What fits into the budget, who holds how much of it, and what an unload brings back."""

from contextlib import AsyncExitStack

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.memory_ledger import MemoryConfig, MemoryLedger, MemoryUse

MIB = 2**20


async def load(ledger: MemoryLedger, model: str, peak: int, resident: int, sessions: int = 1) -> MemoryUse:
    """Load a version and let it go again."""
    async with ledger.hold(model, 1, model, files_bytes=MIB, sessions=sessions) as holding:
        ledger.measured(holding, model, peak * MIB, resident * MIB)
        ledger.loaded(holding)
        ledger.closing(holding)
        return ledger.use(model, 1)


async def test_without_a_budget_everything_fits() -> None:
    ledger = MemoryLedger()
    async with ledger.hold("m", 1, "a", files_bytes=2**60, sessions=64):
        assert ledger.used_bytes > 2**60


async def test_a_first_load_is_judged_by_the_size_of_its_files() -> None:
    ledger = MemoryLedger(9 * MIB)
    with pytest.raises(LoadFailed, match=r"about 10 MiB \(2.5 times its files of 4 MiB\).*may hold 9 MiB"):
        async with ledger.hold("m", 1, "a", files_bytes=4 * MIB, sessions=1):
            pass
    assert ledger.used_bytes == 0
    async with ledger.hold("m", 1, "a", files_bytes=3 * MIB, sessions=1):
        assert ledger.used_bytes == 7.5 * MIB


async def test_what_does_not_fit_is_told_who_holds_the_rest() -> None:
    ledger = MemoryLedger(10 * MIB)
    async with ledger.hold("big", 2, "a", files_bytes=MIB, sessions=1) as holding:
        ledger.measured(holding, "a", 9 * MIB, 8 * MIB)
        ledger.loaded(holding)
        with pytest.raises(LoadFailed, match=r"in use are 8 MiB: big version 2 8 MiB; unload a model"):
            async with ledger.hold("m", 1, "b", files_bytes=MIB, sessions=1):
                pass


async def test_what_a_trial_shows_counts_from_then_on() -> None:
    ledger = MemoryLedger(10 * MIB)
    with pytest.raises(LoadFailed, match=r"about 11 MiB \(as its trial has shown\)"):
        await load(ledger, "m", 11, 5)
    assert ledger.used_bytes == 0
    # The same content again: refused before anything is tried, although its files are small.
    with pytest.raises(LoadFailed, match=r"about 11 MiB \(as it was measured before\)"):
        async with ledger.hold("m", 1, "m", files_bytes=1, sessions=1):
            pass


async def test_a_reload_needs_room_beside_what_still_serves() -> None:
    ledger = MemoryLedger(10 * MIB)
    async with ledger.hold("m", 1, "old", files_bytes=MIB, sessions=1) as old:
        ledger.measured(old, "old", 7 * MIB, 6 * MIB)
        ledger.loaded(old)
        with pytest.raises(LoadFailed, match="does not fit"):
            async with ledger.hold("m", 1, "new", files_bytes=2 * MIB, sessions=1):
                pass


async def test_each_session_counts() -> None:
    use = await load(MemoryLedger(), "m", 10, 4, sessions=3)
    assert use == MemoryUse(18 * MIB, 12 * MIB, None)


async def test_an_unload_leaves_what_came_back_and_nothing_else() -> None:
    ledger = MemoryLedger()
    await load(ledger, "m", 10, 4)
    use = ledger.use("m", 1)
    assert (use.peak_bytes, use.resident_bytes) == (None, None)
    assert use.returned_bytes == ledger.returned_bytes >= 0
    assert use.known() == {"returned_bytes": ledger.returned_bytes}


async def test_a_load_that_fails_brings_nothing_back() -> None:
    ledger = MemoryLedger()
    with pytest.raises(LoadFailed, match="broken"):
        async with ledger.hold("m", 1, "a", files_bytes=MIB, sessions=1):
            raise LoadFailed("broken")
    assert ledger.use("m", 1).known() == {}
    assert str(ledger) == "no budget for models: none is loaded"


async def test_the_new_version_is_what_the_number_stands_for_while_the_old_one_goes() -> None:
    ledger = MemoryLedger()
    async with AsyncExitStack() as new_one:
        async with ledger.hold("m", 1, "old", files_bytes=MIB, sessions=1) as old:
            ledger.measured(old, "old", 7 * MIB, 6 * MIB)
            ledger.loaded(old)
            new = await new_one.enter_async_context(ledger.hold("m", 1, "new", files_bytes=MIB, sessions=1))
            ledger.measured(new, "new", 3 * MIB, 2 * MIB)
            ledger.loaded(new)
            assert ledger.use("m", 1).resident_bytes == 2 * MIB
            ledger.closing(old)
        assert ledger.use("m", 1).resident_bytes == 2 * MIB
        assert ledger.use("m", 1).returned_bytes is not None
    assert ledger.use("m", 1).resident_bytes is None


async def test_only_the_largest_are_named() -> None:
    ledger = MemoryLedger()
    async with AsyncExitStack() as loads:
        for number in range(10):
            await loads.enter_async_context(
                ledger.hold(f"m{number}", 1, str(number), files_bytes=number * MIB, sessions=1)
            )
        assert "for models: m9 version 1 22.5 MiB, m8 " in str(ledger)
        assert str(ledger).endswith("m2 version 1 5 MiB and 2 more")


def test_minus_one_is_no_bound_whatever_the_container_says() -> None:
    assert MemoryConfig(-1).budget_bytes() == -1
    assert MemoryConfig(5).budget_bytes() == 5
