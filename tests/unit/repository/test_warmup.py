"""The runs before a model is READY."""

from onnxd.repository.config import WarmupSection
from onnxd.repository.warmup import plan_warmup
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
