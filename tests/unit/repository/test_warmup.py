"""The runs before a model is READY."""

import pytest

from onnxd.repository.config import WarmupInput, WarmupSample, WarmupSection
from onnxd.repository.warmup import UnfitSample, plan_warmup
from onnxd.runtime.blank import Blank
from onnxd.tensors import BatchInput, BatchKind, Datatype, DynamicAxis, ModelSpec, TensorSpec

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


# Requests of different size.

IDS = TensorSpec("ids", Datatype.INT64, (-1,), axes=("seq",))
MASK = TensorSpec("mask", Datatype.INT64, (-1,), axes=("seq",), is_mask=True, optional=True)
SEQ = DynamicAxis("seq", (4, 8))


def padded(*axes: DynamicAxis, inputs: tuple[TensorSpec, ...] = (IDS, MASK)) -> ModelSpec:
    return ModelSpec("m", 1, inputs, (), 2, axes=axes)


def test_every_bucket_is_run_with_one_row_and_with_the_biggest_batch() -> None:
    plan = plan_warmup(padded(SEQ), WarmupSection())
    assert [run["ids"].shape for run in plan.runs] == [(1, 4), (1, 8), (2, 4), (2, 8)]
    assert not plan.guessed


def test_masks_say_that_all_is_real() -> None:
    (run,) = plan_warmup(padded(DynamicAxis("seq", (3,))), WarmupSection((1,))).runs
    assert run["mask"].array().tolist() == [[1, 1, 1]]


def test_a_free_dimension_that_is_no_axis_is_still_a_guess() -> None:
    sound = TensorSpec("sound", Datatype.FP32, (-1, -1), axes=("seq", None))
    assert plan_warmup(padded(SEQ, inputs=(sound,)), WarmupSection()).guessed


def test_all_combinations_of_axes_are_run_up_to_a_bound() -> None:
    image = TensorSpec("image", Datatype.FP32, (-1, -1), axes=("h", "w"))
    few = (DynamicAxis("h", (1, 2)), DynamicAxis("w", (3, 4, 5)))
    assert len(plan_warmup(padded(*few, inputs=(image,)), WarmupSection((1,))).runs) == 6
    many = (DynamicAxis("h", tuple(range(1, 21))), DynamicAxis("w", (3, 4, 5, 6)))
    shapes = [
        run["image"].shape for run in plan_warmup(padded(*many, inputs=(image,)), WarmupSection((1,))).runs
    ]
    assert (len(shapes), shapes[0], shapes[-1]) == (20, (1, 1, 3), (1, 20, 6))


def test_a_sample_is_padded_as_a_request_is() -> None:
    sample = WarmupSample({"ids": WarmupInput((5,), fill="random")})
    (run,) = plan_warmup(padded(SEQ), WarmupSection(samples=(sample,))).runs
    assert run == {
        "ids": Blank(Datatype.INT64, (1, 8), random=True),
        "mask": Blank(Datatype.INT64, (1, 8), values=(1,)),
    }


def test_a_sample_that_says_nothing_of_an_axis_has_its_smallest_bucket() -> None:
    (run,) = plan_warmup(padded(SEQ), WarmupSection(samples=(WarmupSample(),))).runs
    assert run["ids"].shape == (1, 4)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"ids": 9}, "input 'ids' has size 9 on the axis 'seq', which is more than the largest bucket"),
        ({"ids": 3, "mask": 4}, "size 4 on the axis 'seq', where input 'ids' has 3"),
    ],
)
def test_a_sample_that_no_request_could_be_is_refused(sizes: dict[str, int], text: str) -> None:
    sample = WarmupSample({name: WarmupInput((size,)) for name, size in sizes.items()})
    with pytest.raises(UnfitSample) as caught:
        plan_warmup(padded(SEQ), WarmupSection(samples=(sample,)))
    assert text in caught.value.text


def test_ragged_inputs_are_flat_and_the_servers_own_are_as_of_requests_of_one_row() -> None:
    x = TensorSpec("x", Datatype.FP32, (-1,), ragged=True)
    ends = BatchInput("ends", Datatype.INT32, BatchKind.ACCUMULATED_ELEMENT_COUNT, "x")
    spec = ModelSpec("m", 1, (x,), (), 4, batch_inputs=(ends,))
    sample = WarmupSample({"x": WarmupInput((3,))}, batch_size=2)
    (run,) = plan_warmup(spec, WarmupSection(samples=(sample,))).runs
    assert (run["x"].shape, run["ends"].array().tolist()) == ((6,), [3, 6])
    assert plan_warmup(spec, WarmupSection()).guessed
