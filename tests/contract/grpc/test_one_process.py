"""tritonclient, our SDK and the server in one process: they all have messages of the package `inference`."""

import itertools
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
import numpy as np
{imports}
from tests.support.grpc_server import ONES, grpc_server
from tests.support.serving import identity_spec, served_version, serving

async def main():
    async with grpc_server(serving(served_version(identity_spec()))) as server:
        await server.calls.assert_well()
        async with tritonclient.grpc.aio.InferenceServerClient(server.address) as client:
            tensor = tritonclient.grpc.aio.InferInput("x", [1, 4], "FP32")
            tensor.set_data_from_numpy(ONES)
            result = await client.infer("identity", [tensor])
            assert result.as_numpy("y").tobytes() == ONES.tobytes()
        async with onnxd_client.AsyncClient("grpc://" + server.address) as client:
            result = await client.infer("identity", {{"x": ONES}})
            assert np.asarray(result["y"]).tobytes() == ONES.tobytes()

asyncio.run(main())
"""
MODULES = ("tritonclient.grpc.aio", "onnxd_client", "onnxd.grpc_frontend.server")


@pytest.mark.parametrize("order", list(itertools.permutations(MODULES)), ids=" then ".join)
def test_they_live_together_in_any_order(order: tuple[str, ...]) -> None:
    imports = "\n".join(f"import {module}" for module in order)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM.format(imports=imports)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
