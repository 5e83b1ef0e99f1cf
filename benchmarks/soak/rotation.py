"""S20: certificates, API keys and token keys that change under load: nobody who is good is turned away."""

import asyncio
import json
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import grpc.aio
import jwt
import trustme
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks import models
from benchmarks.harness import Running, server
from benchmarks.payloads import payload
from benchmarks.soak.verdict import Verdict
from onnxd.security import key_file

CLIENTS: Final = 3
"""Of each kind."""
_ISSUER: Final = "https://issuer.example"
_KNOWN_S: Final = 3.0
"""After so long a server that looks at its files each second has seen what they brought."""


@dataclass(slots=True)
class Credentials:
    """What the clients use now, and the files that the server follows."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)
    api_key: str = ""
    token: str = ""
    _keys: key_file.KeySet = field(default_factory=key_file.empty)
    _ids: list[str] = field(default_factory=list)
    _signers: list[tuple[str, ec.EllipticCurvePrivateKey]] = field(default_factory=list)

    def write_certificate(self, *, key_first: bool) -> None:
        pair = self.ca.issue_cert("localhost", "127.0.0.1")
        chain = b"".join(blob.bytes() for blob in pair.cert_chain_pems)
        parts = [("key.pem", pair.private_key_pem.bytes()), ("cert.pem", chain)]
        for name, data in parts if key_first else reversed(parts):
            _put(self.folder / name, data)

    async def rotate(self, number: int) -> None:
        """New of everything; then the old is taken away, when nobody uses it any more."""
        self.write_certificate(key_first=number % 2 == 0)
        self._keys, key = self._keys.with_new("caller", ("infer", "health"), time.time(), None)
        self._ids.append(key.id)
        signer = (f"k{number}", ec.generate_private_key(ec.SECP256R1()))
        self._signers = [*self._signers[-1:], signer]
        self.write_keys()
        if number:
            await asyncio.sleep(_KNOWN_S)
        self.api_key, self.token = key.text(), _token(*signer)
        if number:
            await asyncio.sleep(_KNOWN_S)  # for requests that began with the old ones
        while len(self._ids) > 1:
            self._keys = self._keys.without(self._ids.pop(0)) or self._keys
        self._signers = [signer]
        self.write_keys()

    def write_keys(self) -> None:
        key_file.save(self.folder / "keys.json", self._keys)
        documents = [
            {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in self._signers
        ]
        _put(self.folder / "jwks.json", json.dumps({"keys": documents}).encode())


async def run(directory: Path, rotations: int, every_s: float) -> Verdict:
    """So many rotations, one each so many seconds, of which two waits take six."""
    verdict = Verdict(f"rotation: {rotations} times, each {every_s:g} s")
    models.publish(directory / "models", "m", models.identity(), models.BATCHED)
    now = Credentials(directory)
    await now.rotate(0)
    flags = (
        "--tls-certificate", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem"),
        "--auth-keys-file", str(directory / "keys.json"),
        "--jwt-issuer", _ISSUER, "--jwt-audience", "onnxd",
        "--jwt-keys-file", str(directory / "jwks.json"),
    )  # fmt: skip
    counts: Counter[str] = Counter()
    with server(directory / "models", directory / "state", *flags) as running:
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CLIENTS):
                for wire in (_by_http, _by_grpc):
                    for kind in ("api_key", "token"):
                        tasks.create_task(wire(running, now, kind, stopping, counts))
            for number in range(1, rotations + 1):
                start_s = time.monotonic()
                await now.rotate(number)
                await asyncio.sleep(max(0.0, every_s - (time.monotonic() - start_s)))
            stopping.set()
    for what, count in sorted(counts.items()):
        verdict.show(what, count)
    failed = {what: count for what, count in counts.items() if not what.startswith("answered")}
    verdict.expect(not failed, f"turned away: {failed}")
    verdict.expect(counts.total() > 0, "nobody asked")
    return verdict


async def _by_http(
    running: Running, now: Credentials, kind: str, stopping: asyncio.Event, counts: Counter[str]
) -> None:
    """Each request on a connection of its own, and so with a handshake."""
    asked = payload("http binary", "m", 4)
    context = ssl.create_default_context()
    now.ca.configure_trust(context)
    url = f"https://127.0.0.1:{running.http_port}{asked.path}"
    connector = aiohttp.TCPConnector(force_close=True, ssl=context)
    async with aiohttp.ClientSession(connector=connector) as session:
        while not stopping.is_set():
            headers = {**asked.headers, "Authorization": f"Bearer {getattr(now, kind)}"}
            try:
                async with session.post(url, data=asked.body, headers=headers) as answer:
                    await answer.read()
                    good = answer.status == 200
                    counts[f"answered, HTTP, {kind}" if good else f"{answer.status}, {kind}"] += 1
            except aiohttp.ClientError as error:
                counts[repr(error)[:200]] += 1


async def _by_grpc(
    running: Running, now: Credentials, kind: str, stopping: asyncio.Event, counts: Counter[str]
) -> None:
    """Each call on a channel of its own."""
    asked = payload("grpc", "m", 4)
    trusted = grpc.ssl_channel_credentials(now.ca.cert_pem.bytes())
    options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
    while not stopping.is_set():
        async with grpc.aio.secure_channel(f"127.0.0.1:{running.grpc_port}", trusted, options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(asked.path)
            metadata = (("authorization", f"Bearer {getattr(now, kind)}"),)
            try:
                await call(asked.body[5:], metadata=metadata, timeout=30)
                counts[f"answered, gRPC, {kind}"] += 1
            except grpc.aio.AioRpcError as error:
                counts[f"{error.code().name} {error.details()}"[:200]] += 1


def _token(kid: str, key: ec.EllipticCurvePrivateKey) -> str:
    now_s = int(time.time())
    claims = {
        "iss": _ISSUER, "aud": "onnxd", "sub": "caller", "iat": now_s, "exp": now_s + 3600, "scope": "infer"
    }  # fmt: skip
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": kid})


def _put(path: Path, data: bytes) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_bytes(data)
    draft.rename(path)
