"""Row H1: a server whose models are fixed takes no load and no unload, whatever else is switched on."""

from typing import Any, Final

import pytest

from tests.contract.overrides.conftest import Client
from tests.contract.wire_client import Kind, Refused
from tests.support.graphs import row_constant
from tests.support.server import RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {"model_overrides": True, "model_control": "none"}


async def test_H1_a_load_has_no_effect(client: Client, server: RunningServer) -> None:
    served = server.server.inference.served("one", None)
    for config, files in ((None, None), ("{}", None), ("{}", {"file:1/model.onnx": row_constant(9)})):
        with pytest.raises(Refused) as caught:
            await client.load("one", config=config, files=files)
        assert caught.value.kind is Kind.UNAVAILABLE
    assert server.server.inference.served("one", None) is served


async def test_H1_an_unload_has_no_effect(client: Client, server: RunningServer) -> None:
    with pytest.raises(Refused) as caught:
        await client.unload("one")
    assert caught.value.kind is Kind.UNAVAILABLE
    assert await client.model_ready("one")
