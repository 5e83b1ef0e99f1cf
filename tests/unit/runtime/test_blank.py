"""Made-up inputs."""

import numpy as np
import pytest

from onnxd.runtime.blank import Blank
from onnxd.tensors import Datatype


@pytest.mark.parametrize("datatype", Datatype)
@pytest.mark.parametrize("random", [False, True])
def test_every_datatype_can_be_made_up(datatype: Datatype, random: bool) -> None:
    array = Blank(datatype, (2, -1, 3), random).array()
    assert array.shape == (2, 1, 3)
    assert array.dtype == datatype.dtype
    if datatype is Datatype.BYTES:
        assert set(array.reshape(-1)) == {""}
    elif not random:
        assert not array.astype(np.float64).any()


@pytest.mark.parametrize("datatype", [kind for kind in Datatype if kind is not Datatype.BYTES])
def test_random_numbers_are_small_and_the_same_each_time(datatype: Datatype) -> None:
    array = Blank(datatype, (1000,), random=True).array().astype(np.float64)
    assert array.any()
    assert 0 <= array.min() <= array.max() <= 127
    assert array.tolist() == Blank(datatype, (1000,), random=True).array().astype(np.float64).tolist()


@pytest.mark.parametrize("datatype", [Datatype.FP32, Datatype.BYTES])
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("shape", [(2**31 - 1,) * 4, (2**31 - 1,) * 16, (0, *(2**31 - 1,) * 4)])
def test_what_no_memory_holds_is_out_of_memory(
    datatype: Datatype, random: bool, shape: tuple[int, ...]
) -> None:
    with pytest.raises(MemoryError, match="no memory holds a tensor of shape"):
        Blank(datatype, shape, random).array()


def test_scalars_and_empty_tensors_can_be_made_up() -> None:
    assert Blank(Datatype.FP32, (), random=True).array().shape == ()
    assert Blank(Datatype.INT64, (0, 4), random=True).array().shape == (0, 4)


def test_values_are_repeated_until_it_is_full() -> None:
    assert Blank(Datatype.FP32, (2, 2), values=(1,)).array().tolist() == [[1, 1], [1, 1]]
    assert Blank(Datatype.INT32, (2, 2), values=(3, 7)).array().tolist() == [[3, 7], [3, 7]]
    assert Blank(Datatype.BOOL, (2,), values=(1, 0)).array().dtype == np.bool_
