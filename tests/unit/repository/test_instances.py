"""Where a version runs, and why."""

from typing import Literal

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.instances import MOST_REASONS, Isolation, choose, risks_in
from onnxd.runtime.risks import Risks
from onnxd.runtime.trial_messages import DIED

HARMLESS = Risks()
CRASHES = Risks(crashes=("Div 'y' divides INT32 by what may be -1",))
SIZES = Risks(sizes=("the size of what Expand 'y' makes is in the values of the inputs",))


def test_a_harmless_model_runs_in_the_server() -> None:
    assert choose("auto", HARMLESS) == Isolation()
    assert choose("thread", HARMLESS) == Isolation()


@pytest.mark.parametrize("found", [CRASHES, SIZES], ids=["crashes", "sizes"])
def test_a_model_that_requests_can_harm_runs_in_a_process_of_its_own_and_says_why(found: Risks) -> None:
    chosen = choose("auto", found)
    assert chosen.reason == f"runs in a process of its own: {(found.crashes + found.sizes)[0]}"
    assert chosen.warning == ""


@pytest.mark.parametrize("found", [CRASHES, SIZES], ids=["crashes", "sizes"])
def test_a_config_may_keep_it_in_the_server_and_is_warned(found: Risks) -> None:
    chosen = choose("thread", found)
    assert chosen.reason == ""
    assert (found.crashes + found.sizes)[0] in chosen.warning


@pytest.mark.parametrize("found", [HARMLESS, CRASHES, SIZES], ids=["nothing", "crashes", "sizes"])
def test_a_config_may_ask_for_a_process_without_need(found: Risks) -> None:
    assert choose("process", found).reason == "runs in a process of its own, as its config says"


@pytest.mark.parametrize("wanted", ["auto", "thread", "process"])
def test_only_sizes_cost_a_model_its_arena(wanted: Literal["auto", "thread", "process"]) -> None:
    assert [choose(wanted, found).lean for found in (HARMLESS, CRASHES, SIZES)] == [False, False, True]


def test_a_graph_that_killed_whoever_read_it_is_a_risk() -> None:
    found = risks_in({DIED: "model.onnx: its process was killed by signal 11 (SIGSEGV)"})
    assert choose("auto", found).reason.endswith("(SIGSEGV)")


def test_what_a_trial_found_is_read_and_nonsense_is_refused() -> None:
    assert risks_in({"crashes": list(CRASHES.crashes), "sizes": []}) == CRASHES
    with pytest.raises(LoadFailed, match="cannot be read"):
        risks_in({})


def test_of_many_reasons_some_are_told() -> None:
    many = Risks(crashes=tuple(f"reason {number}" for number in range(MOST_REASONS + 3)))
    assert choose("auto", many).reason.endswith("reason 4; and 3 more")
