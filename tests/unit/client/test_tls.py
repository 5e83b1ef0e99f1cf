"""https:// and grpcs:// with a certificate made on the spot."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from aiohttp import web

from onnxd_client import AsyncClient, Client, ConnectFailed, RetryPolicy
from onnxd_protos import grpc_service_pb2 as pb

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")

ONCE = RetryPolicy(max_tries=1)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test"
    subprocess.run(
        [
            "openssl",
            *words.split(),
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(made),
        ],
        check=True,
        capture_output=True,
    )
    return made, key


@pytest.fixture
def grpcs(certificate: tuple[Path, Path]) -> Iterator[str]:
    """The URL of a gRPC server that is live."""
    made, key = certificate
    handler = grpc.unary_unary_rpc_method_handler(
        lambda _, __: pb.ServerLiveResponse(live=True),
        request_deserializer=pb.ServerLiveRequest.FromString,
        response_serializer=pb.ServerLiveResponse.SerializeToString,
    )
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ServerLive": handler}),)
        )
        credentials = grpc.ssl_server_credentials([(key.read_bytes(), made.read_bytes())])
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"grpcs://127.0.0.1:{port}"
        server.stop(None).wait(10)


async def test_https_believes_the_given_certificate_and_no_other(certificate: tuple[Path, Path]) -> None:
    async def about(_: web.Request) -> web.Response:
        return web.json_response({"name": "onnxd", "version": "1"})

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    application = web.Application()
    application.router.add_get("/v2", about)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with AsyncClient(url, ca_file=str(certificate[0])) as client:
            assert (await client.server()).name == "onnxd"

        def blocking() -> str:
            with Client(url, ca_file=str(certificate[0])) as client:
                return client.server().name

        assert await asyncio.to_thread(blocking) == "onnxd"
        async with AsyncClient(url, retry=ONCE) as stranger:
            with pytest.raises(ConnectFailed, match="certificate verify failed"):
                await stranger.server()
    finally:
        await runner.cleanup()


async def test_grpcs_believes_the_given_certificate_and_no_other(
    certificate: tuple[Path, Path], grpcs: str
) -> None:
    async with AsyncClient(grpcs, ca_file=str(certificate[0])) as client:
        assert await client.live()
    with Client(grpcs, ca_file=str(certificate[0])) as blocking:
        assert blocking.live()
    with Client(grpcs, retry=ONCE) as stranger, pytest.raises(ConnectFailed):
        stranger.server()
