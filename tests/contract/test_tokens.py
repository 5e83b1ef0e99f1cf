"""Tokens over both protocols, and streams whose token ends."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from onnxd.security.jwt_config import JwtConfig
from onnxd_client import AsyncClient, PermissionDenied
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.graphs import identity
from tests.support.grpc_server import infer_request
from tests.support.server import publish, running_server
from tests.unit.security.test_tokens import ISSUER, KEYS, claims, token

ROW = np.ones((1, 4), np.float32)


async def test_J12_a_token_lets_in_whom_it_is_about_until_it_ends(tmp_path: Path) -> None:
    publish(tmp_path / "models", "a1", 1, identity(), "max_batch_size: 8\n")
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps(KEYS))
    jwt = JwtConfig(issuer=ISSUER, audience="onnxd", keys_file=keys)
    async with running_server(tmp_path / "models", tmp_path / "state", jwt=jwt) as server:
        for url in (server.http, f"grpc://{server.grpc}"):
            async with AsyncClient(url, headers={"authorization": f"Bearer {token()}"}) as client:
                assert (await client.infer("a1", {"x": ROW}))["y"].tolist() == ROW.tolist()
                with pytest.raises(PermissionDenied, match="'ann' may not do 'control'"):
                    await client.repository.unload("a1")
        assert await answered_until_refused(server.grpc) >= 1


async def answered_until_refused(address: str) -> int:
    """J12: how many messages of a stream were answered whose token, with the leeway, holds for a moment."""
    now_s = int(time.time())
    ending = token(claims(iat=now_s - 600, exp=now_s - 28))
    message = pb.ModelInferRequest.SerializeToString(infer_request("a1", {"x": ROW}))
    answers = 0

    async with grpc.aio.insecure_channel(address) as channel:
        method: Any = channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
        call = method(metadata=(("authorization", f"Bearer {ending}"),), timeout=20)
        while await answered(call, message):
            answers += 1
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
        assert "is over" in await call.details()
    return answers


async def answered(call: Any, message: bytes) -> bool:
    try:
        await call.write(message)
        return await call.read() is not grpc.aio.EOF
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return False
