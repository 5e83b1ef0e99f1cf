"""Documents between the server and a model's process."""

from collections.abc import Iterator

import numpy as np
import pytest

from onnxd.runtime import exchange
from onnxd.runtime.parcel import unpack
from onnxd.runtime.shared_buffer import SharedBuffer, anonymous_file


@pytest.fixture
def buffer() -> Iterator[SharedBuffer]:
    buffer = SharedBuffer(anonymous_file(), writable=True)
    yield buffer
    buffer.close()


def test_a_document_and_its_tensors_arrive(buffer: SharedBuffer) -> None:
    wake_up = exchange.write(buffer, 7, {"outputs": ["y"]}, {"x": np.array([1, 2, 3], np.int64)})
    assert len(wake_up) == exchange.WAKE_UP_BYTES
    number, document = exchange.read(buffer, wake_up)
    assert number == 7
    assert document["outputs"] == ["y"]
    assert unpack(document[exchange.TENSORS], buffer, copy=True)["x"].tolist() == [1, 2, 3]


def test_a_document_may_be_longer_than_what_the_tensors_take(buffer: SharedBuffer) -> None:
    names = [f"output {number}" for number in range(20_000)]
    wake_up = exchange.write(buffer, 1, {"outputs": names}, {})
    assert exchange.read(buffer, wake_up)[1]["outputs"] == names


@pytest.mark.parametrize(
    "wake_up",
    [
        pytest.param(exchange.wake_up(1, 0, 10, 2**40), id="a buffer that is not as large"),
        pytest.param(exchange.wake_up(1, 2**50, 10, 0), id="behind the end"),
        pytest.param(exchange.wake_up(1, 0, 3, 0), id="no JSON"),
        pytest.param(exchange.wake_up(1, 4, 2, 0), id="no object"),
    ],
)
def test_what_is_no_document_is_refused(buffer: SharedBuffer, wake_up: bytes) -> None:
    exchange.write(buffer, 1, {}, {"x": np.frombuffer(b"{{{ []", np.uint8)})
    with pytest.raises(exchange.Unreadable):
        exchange.read(buffer, wake_up)
