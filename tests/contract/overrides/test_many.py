"""As many models may be brought as the setting says, whoever has the repository's names."""

from typing import Any, Final

import pytest

from tests.contract.overrides.conftest import Client
from tests.contract.wire_client import Kind, Refused
from tests.support.graphs import row_constant

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS: Final[dict[str, Any]] = {"model_overrides": True, "max_brought_models": 2}
FILES: Final = {"file:1/model.onnx": row_constant(9)}


async def test_no_more_models_are_brought_than_may_be(client: Client) -> None:
    for name in ("a", "b", "a", "one"):
        await client.load(name, config="{}", files=FILES)
    with pytest.raises(Refused) as refused:
        await client.load("c", config="{}", files=FILES)
    assert refused.value.kind is Kind.TOO_LARGE
    assert "max_brought_models" in refused.value.message
    await client.unload("a")
    await client.load("c", config="{}", files=FILES)
    for name in ("b", "c"):
        await client.unload(name)
    await client.load("one")
