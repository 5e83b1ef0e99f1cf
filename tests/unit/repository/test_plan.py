"""The plan as a table: what is on disk, what is remembered, what is to be done."""

import dataclasses
import json
from collections.abc import Mapping

import pytest

from onnxd.repository.plan import CurrentModel, Load, Refuse, Step, Unload, plan
from onnxd.repository.settle import SettledRepository
from tests.support.snapshots import model_files

GONE = "its directory is gone from the repository"
FAULT = "its files cannot be read: Permission denied"


def seen(*models: str, faulty: str = "", undecided: str = "") -> SettledRepository:
    """A model is written as name:key."""
    files = [model_files(*model.split(":")) for model in models]
    files += [model_files(name, "odd", fault=FAULT) for name in faulty.split()]
    return SettledRepository(
        models={model.name: model for model in files},
        undecided=dict.fromkeys(undecided.split(), "its files are still changing"),
        problems=(),
        look_again_s=None,
    )


@pytest.mark.parametrize(
    ("repository", "current", "steps"),
    [
        pytest.param(seen(), {}, (), id="nothing there, nothing to do"),
        pytest.param(seen("a:1"), {}, (Load("a", "1", "it is new"),), id="a new model is loaded"),
        pytest.param(seen("a:1"), {"a": CurrentModel("1")}, (), id="what serves or has failed is left alone"),
        pytest.param(
            seen("a:2"),
            {"a": CurrentModel("1")},
            (Load("a", "2", "its files have changed"),),
            id="changed files are loaded, whatever became of those before",
        ),
        pytest.param(
            seen(), {"a": CurrentModel("1")}, (Unload("a", GONE),), id="a removed model is unloaded"
        ),
        pytest.param(
            seen(undecided="a"), {"a": CurrentModel("1")}, (), id="an undecided model is left as it is"
        ),
        pytest.param(seen(undecided="a"), {}, (), id="an undecided new model is not loaded yet"),
        pytest.param(
            seen(faulty="a"),
            {"a": CurrentModel("1")},
            (Refuse("a", FAULT),),
            id="files that cannot be read unload nothing",
        ),
        pytest.param(seen(faulty="a"), {}, (Refuse("a", FAULT),), id="a new model with a fault is listed"),
        pytest.param(
            seen(faulty="a"), {"a": CurrentModel("1", refused=FAULT)}, (), id="a fault is reported once"
        ),
        pytest.param(
            seen("a:1"),
            {"a": CurrentModel("1", refused=FAULT)},
            (Load("a", "1", "its files can be read again"),),
            id="a fault that has passed is forgotten",
        ),
        pytest.param(
            seen("a:1"),
            {"a": CurrentModel("", refused=FAULT)},
            (Load("a", "1", "it is new"),),
            id="a model that had a fault from the start is loaded once it is gone",
        ),
        pytest.param(
            seen("new:1", "changed:2", "same:1", faulty="bad"),
            {name: CurrentModel("1") for name in ("changed", "same", "z", "y")},
            (
                Unload("y", GONE),
                Unload("z", GONE),
                Refuse("bad", FAULT),
                Load("changed", "2", "its files have changed"),
                Load("new", "1", "it is new"),
            ),
            id="removals come first, and each kind by name",
        ),
    ],
)
def test_plan(
    repository: SettledRepository, current: Mapping[str, CurrentModel], steps: tuple[Step, ...]
) -> None:
    assert plan(repository, current) == steps


def test_planning_again_after_the_steps_gives_none() -> None:
    repository = seen("new:1", "changed:2", faulty="bad")
    current = {"changed": CurrentModel("1"), "old": CurrentModel("1")}

    for step in plan(repository, current):
        match step:
            case Load(name, key):
                current[name] = CurrentModel(key)
            case Unload(name):
                del current[name]
            case Refuse(name, reason):
                current[name] = CurrentModel("", refused=reason)

    assert plan(repository, current) == ()


def test_a_step_can_be_written_down() -> None:
    step = Load("digits", "1", "it is new")

    assert Load(**json.loads(json.dumps(dataclasses.asdict(step)))) == step
