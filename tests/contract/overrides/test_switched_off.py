"""Row H7: without the operator's word, a load brings nothing."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.contract.overrides.conftest import Client, tree
from tests.contract.wire_client import Kind, Refused
from tests.support.graphs import row_constant
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {}
FILES: Final = {"file:1/model.onnx": row_constant(9)}


@pytest.mark.parametrize(
    ("model", "config", "files"),
    [
        pytest.param("one", "{}", None, id="H7-a-config"),
        pytest.param("one", "{}", FILES, id="H7-a-config-and-files"),
        pytest.param("one", None, FILES, id="H7-files"),
        pytest.param("new", "{}", FILES, id="H7-a-new-model"),
        pytest.param("one", "no JSON", {"file:../x": b"x"}, id="H7-and-bad-ones-at-that"),
    ],
)
async def test_an_override_is_not_permitted(
    client: Client, server: RunningServer, model: str, config: str | None, files: Mapping[str, bytes] | None
) -> None:
    before = tree(server.repository.parent)
    served = server.server.inference.served("one", None)
    with pytest.raises(Refused) as caught:
        await client.load(model, config=config, files=files)
    assert caught.value.kind is Kind.FORBIDDEN
    assert "is not permitted here" in caught.value.message
    assert "model_overrides" in caught.value.message
    assert server.server.inference.served("one", None) is served
    assert tree(server.repository.parent) == before


async def test_a_plain_load_is(client: Client) -> None:
    await client.load("one")
