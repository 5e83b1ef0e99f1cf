"""TLS on every port, with certificates that change, and clients known by theirs."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
import trustme

from onnxd.security.config import AuthConfig
from onnxd.security.tls import Certificates, TlsConfig, TlsUnusable
from tests.support.graphs import identity
from tests.support.grpc_transports import TRANSPORTS, Transport, over
from tests.support.server import RunningServer, publish, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG: Final = "max_batch_size: 8\n"
BODY: Final = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
LIVE: Final = "/inference.GRPCInferenceService/ServerLive"
METADATA: Final = "/inference.GRPCInferenceService/ServerMetadata"


@dataclass
class Authority:
    """An authority, and the files of a certificate that it has given to the server."""

    ca: trustme.CA
    folder: Path

    @property
    def config(self) -> TlsConfig:
        return TlsConfig(self.folder / "cert.pem", self.folder / "key.pem", interval=0.02)

    def issue(self) -> bytes:
        """Write a new pair; the certificate's bytes."""
        pair = self.ca.issue_cert("localhost", "127.0.0.1")
        pair.private_key_pem.write_to_path(self.folder / "key.pem")
        chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
        (self.folder / "cert.pem").write_bytes(chain)
        return chain

    def client(self, name: str = "") -> ssl.SSLContext:
        """What a client trusts, with a certificate of its own if it has a name."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if name:
            self.ca.issue_cert(name).configure_cert(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(trustme.CA(), tmp_path_factory.mktemp("tls"))
    made.issue()
    made.ca.cert_pem.write_to_path(made.folder / "ca.pem")
    return made


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """Of gRPC, each in turn."""
    with over(request.param) as chosen:
        yield chosen


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    transport: Transport, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    root = tmp_path_factory.mktemp("tls-server")
    publish(root / "models", "m", 1, identity(), CONFIG)
    async with running_server(root / "models", root / "state", tls=authority.config) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mutual(
    transport: Transport, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    """A server that wants its clients' certificates, and knows two of them by name."""
    root = tmp_path_factory.mktemp("mtls-server")
    publish(root / "models", "m", 1, identity(), CONFIG)
    tls = TlsConfig(authority.folder / "cert.pem", authority.folder / "key.pem", authority.folder / "ca.pem")
    auth = AuthConfig(certificates={"worker.example": "infer:m*", "boss.example": "admin"})
    async with running_server(root / "models", root / "state", tls=tls, auth=auth) as running:
        yield running


def https(server: RunningServer, context: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.http.replace("http:", "https:"), verify=context)


def channel(server: RunningServer, authority: Authority, name: str = "") -> grpc.aio.Channel:
    pair = authority.ca.issue_cert(name) if name else None
    credentials = grpc.ssl_channel_credentials(
        authority.ca.cert_pem.bytes(),
        pair.private_key_pem.bytes() if pair else None,
        b"".join(blob.bytes() for blob in pair.cert_chain_pems) if pair else None,
    )
    return grpc.aio.secure_channel(server.grpc, credentials)


async def code(channel: grpc.aio.Channel, method: str) -> grpc.StatusCode:
    call: Any = channel.unary_unary(method)
    try:
        await call(b"", timeout=10)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_both_protocols_answer_over_tls(server: RunningServer, authority: Authority) -> None:
    async with https(server, authority.client()) as http:
        answer = await http.post("/v2/models/m/infer", json=BODY)
        assert json.loads(answer.content)["outputs"][0]["data"] == [1, 2, 3, 4]
        scraped = await http.get(server.metrics.replace("http:", "https:"))
        assert scraped.status_code == 200
    async with channel(server, authority) as calls:
        assert await code(calls, METADATA) is grpc.StatusCode.OK


async def test_without_tls_there_is_no_answer(server: RunningServer, authority: Authority) -> None:
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.TransportError):
            await http.get(f"{server.http}/v2/health/live")
    async with grpc.aio.insecure_channel(server.grpc) as calls:
        assert await code(calls, LIVE) is grpc.StatusCode.UNAVAILABLE


async def test_J15_a_client_that_trusts_another_authority_does_not_connect(server: RunningServer) -> None:
    stranger = Authority(trustme.CA(), Path())
    async with https(server, stranger.client()) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await http.get("/v2")
    async with channel(server, stranger) as calls:
        assert await code(calls, LIVE) is grpc.StatusCode.UNAVAILABLE


async def test_J15_old_versions_of_tls_are_not_spoken(server: RunningServer, authority: Authority) -> None:
    context = authority.client()
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    async with https(server, context) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/v2")


async def presented(server: RunningServer, port: int) -> bytes:
    """The certificate that a port presents now."""
    return (await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))).encode()


async def test_a_new_pair_is_presented_on_both_ports_and_open_connections_go_on(
    server: RunningServer, authority: Authority
) -> None:
    async with https(server, authority.client()) as http:
        await http.get("/v2")
        new = authority.issue().split(b"-----END")[0]
        for port in (server.server.http.port, server.server.grpc.port):
            while not (await presented(server, port)).startswith(new):
                pass
        assert (await http.get("/v2")).status_code == 200


@pytest.mark.parametrize("first", ["certificate", "key"])
async def test_the_files_may_change_in_either_order(authority: Authority, first: str, tmp_path: Path) -> None:
    own = Authority(authority.ca, tmp_path)
    own.issue()
    async with Certificates(own.config) as certificates:
        old = certificates.pem
        pair = authority.ca.issue_cert("localhost")
        key, chain = pair.private_key_pem.bytes(), b"".join(blob.bytes() for blob in pair.cert_chain_pems)
        steps = [(tmp_path / "cert.pem", chain), (tmp_path / "key.pem", key)]
        for number, (path, content) in enumerate(steps if first == "certificate" else steps[::-1]):
            path.write_bytes(content)
            await certificates.look()
            assert (certificates.pem == old) is (number == 0)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
async def test_files_that_are_no_pair_are_told_at_the_start(
    authority: Authority, tmp_path: Path, content: bytes
) -> None:
    own = Authority(authority.ca, tmp_path)
    own.issue()
    (tmp_path / "cert.pem").write_bytes(content)
    with pytest.raises(TlsUnusable, match=r"tls\.certificate and tls\.key"):
        async with Certificates(own.config):
            pass


async def test_J15_without_a_certificate_of_its_own_no_client_connects(
    mutual: RunningServer, authority: Authority
) -> None:
    async with https(mutual, authority.client()) as http:
        with pytest.raises(httpx.TransportError):
            await http.get("/v2/health/live")
    async with channel(mutual, authority) as calls:
        assert await code(calls, LIVE) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("name", "inference", "metadata"),
    [("worker.example", 200, 403), ("boss.example", 200, 200), ("nobody.example", 401, 401)],
)
async def test_a_client_may_do_what_the_name_in_its_certificate_may(
    mutual: RunningServer, authority: Authority, name: str, inference: int, metadata: int
) -> None:
    async with https(mutual, authority.client(name)) as http:
        assert (await http.post("/v2/models/m/infer", json=BODY)).status_code == inference
        assert (await http.get("/v2")).status_code == metadata
    async with channel(mutual, authority, name) as calls:
        expected = {
            200: grpc.StatusCode.OK,
            401: grpc.StatusCode.UNAUTHENTICATED,
            403: grpc.StatusCode.PERMISSION_DENIED,
        }
        assert await code(calls, METADATA) is expected[metadata]
        assert await code(calls, LIVE) is grpc.StatusCode.OK
