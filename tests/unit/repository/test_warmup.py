"""The runs before a model is READY."""

import pytest

from onnxd.repository.config import WarmupInput, WarmupSample, WarmupSection
from onnxd.repository.warmup import UnfitSample, plan_warmup
from onnxd.runtime.blank import Blank
from onnxd.tensors import Datatype, ModelSpec, TensorSpec

IMAGE = TensorSpec("image", Datatype.FP32, (64,))
SOUND = TensorSpec("sound", Datatype.FP32, (-1, 8))
SCALE = TensorSpec("scale", Datatype.FP32, (), optional=True)


def spec(*inputs: TensorSpec, max_batch_size: int = 0) -> ModelSpec:
    return ModelSpec("m", 1, inputs, (), max_batch_size)


def test_a_batched_model_is_run_with_one_row_and_with_the_biggest_batch() -> None:
    plan = plan_warmup(spec(IMAGE, max_batch_size=32), WarmupSection())
    assert plan.runs == ({"image": Blank(Datatype.FP32, (1, 64))}, {"image": Blank(Datatype.FP32, (32, 64))})
    assert not plan.guessed


def test_stated_batch_sizes_are_run_once_each_in_their_order() -> None:
    plan = plan_warmup(spec(IMAGE, max_batch_size=32), WarmupSection((8, 2, 8)))
    assert [run["image"][1][0] for run in plan.runs] == [8, 2]


def test_a_model_that_does_not_batch_is_run_once_with_its_complete_shapes() -> None:
    assert plan_warmup(spec(IMAGE), WarmupSection()).runs == ({"image": Blank(Datatype.FP32, (64,))},)


def test_a_biggest_batch_of_one_is_run_once() -> None:
    assert len(plan_warmup(spec(IMAGE, max_batch_size=1), WarmupSection()).runs) == 1


def test_a_free_dimension_is_one_and_known_to_be_a_guess() -> None:
    plan = plan_warmup(spec(SOUND, max_batch_size=1), WarmupSection())
    assert plan.runs == ({"sound": Blank(Datatype.FP32, (1, 1, 8))},)
    assert plan.guessed


def test_runs_that_the_config_asks_for_are_no_guess() -> None:
    assert not plan_warmup(spec(SOUND, max_batch_size=4), WarmupSection((2,))).guessed


def test_optional_inputs_are_left_to_their_defaults() -> None:
    assert plan_warmup(spec(IMAGE, SCALE), WarmupSection()).runs[0].keys() == {"image"}


def test_samples_are_run_with_what_they_say_and_zeros_for_the_rest() -> None:
    sample = WarmupSample({"sound": WarmupInput((5, 8), fill="random")}, batch_size=3, count=7)
    plan = plan_warmup(spec(SOUND, IMAGE, SCALE, max_batch_size=4), WarmupSection(samples=(sample,)))
    assert plan.runs == (
        {
            "sound": Blank(Datatype.FP32, (3, 5, 8), random=True),
            "image": Blank(Datatype.FP32, (3, 64)),
        },
    )
    assert (plan.counts, plan.guessed) == ((7,), False)


def test_samples_follow_the_stated_batch_sizes() -> None:
    plan = plan_warmup(spec(IMAGE, max_batch_size=4), WarmupSection((2,), (WarmupSample(batch_size=3),)))
    assert [run["image"].shape[0] for run in plan.runs] == [2, 3]


def test_what_is_run_has_the_graphs_shapes() -> None:
    tensor = TensorSpec("x", Datatype.INT32, (-1, 3), reshape=(-1, 3, 1))
    scalar = TensorSpec("s", Datatype.FP32, (1,), reshape=())
    sample = WarmupSample({"x": WarmupInput((5, 3)), "s": WarmupInput((1,))})
    plan = plan_warmup(spec(tensor, scalar), WarmupSection(samples=(sample,)))
    assert plan.runs == ({"x": Blank(Datatype.INT32, (5, 3, 1)), "s": Blank(Datatype.FP32, ())},)
    (blank,) = plan_warmup(spec(tensor), WarmupSection()).runs
    assert blank == {"x": Blank(Datatype.INT32, (1, 3, 1))}


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"z": WarmupInput((1,))}, "the model has no input 'z'; it has 'image'"),
        ({"image": WarmupInput((64,), Datatype.INT8)}, "input 'image' is FP32, not INT8"),
        ({"image": WarmupInput((63,))}, "input 'image' takes shape [64], got [63]"),
        ({"image": WarmupInput((64, 1))}, "input 'image' takes shape [64], got [64,1]"),
    ],
)
def test_a_sample_that_the_model_does_not_take_is_refused(stated: dict[str, WarmupInput], text: str) -> None:
    with pytest.raises(UnfitSample) as caught:
        plan_warmup(spec(IMAGE), WarmupSection(samples=(WarmupSample(stated),)))
    assert caught.value.text == text
    assert caught.value.loc[:4] == ("warmup", "samples", 0, "inputs")
