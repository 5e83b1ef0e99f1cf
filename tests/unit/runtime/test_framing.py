"""Documents over a pipe."""

import asyncio
import contextlib
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.runtime import framing

DOCUMENTS = st.dictionaries(st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text() | st.booleans())


async def read_on_the_loop(data: bytes) -> dict[str, Any] | None:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return await framing.read_async(reader)


@given(document=DOCUMENTS)
def test_what_is_written_is_read(document: dict[str, Any]) -> None:
    stream = io.BytesIO()
    framing.write(stream, document)
    framing.write(stream, {"second": 2})
    stream.seek(0)
    assert framing.read(stream) == document
    assert framing.read(stream) == {"second": 2}
    assert framing.read(stream) is None


async def test_both_readers_agree() -> None:
    assert await read_on_the_loop(framing.encode({"a": [1]})) == {"a": [1]}
    assert await read_on_the_loop(b"") is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\0\0", id="half a length"),
        pytest.param(b"\0\0\0\x04{}", id="half a body"),
        pytest.param(b"\0\0\0\x05", id="no body"),
        pytest.param(b"\xff\xff\xff\xff{}", id="a length over the limit"),
        pytest.param(b"\0\0\0\x02{]", id="not JSON"),
        pytest.param(b"\0\0\0\x02[]", id="not an object"),
    ],
)
async def test_a_broken_frame_is_said_to_be_one(data: bytes) -> None:
    with pytest.raises(framing.BrokenFrame):
        framing.read(io.BytesIO(data))
    with pytest.raises(framing.BrokenFrame):
        await read_on_the_loop(data)


@given(data=st.binary(max_size=40))
def test_noise_is_never_another_error(data: bytes) -> None:
    with contextlib.suppress(framing.BrokenFrame):
        framing.read(io.BytesIO(data))


def test_a_document_over_the_limit_is_not_written() -> None:
    with pytest.raises(framing.BrokenFrame):
        framing.encode({"a": "x" * framing.MAX_FRAME_BYTES})
