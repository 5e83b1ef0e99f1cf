"""A real S3 server (moto) in a process on loopback, and what people do to a bucket in it."""

import contextlib
import itertools
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest
from obstore.store import S3Store

from tests.support.graphs import row_constant

KEY_ID: Final = "AKIAIOSFODNN7EXAMPLE"
SECRET: Final = "wJalrXUtnFEMI-not-to-be-shown-EXAMPLEKEY"  # noqa: S105 made up
_PROGRAM: Final = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
"""Ends with whoever has started it."""
_BUCKETS: Final = itertools.count(1)


@dataclass(slots=True)
class Storage:
    """The server."""

    port: int
    process: subprocess.Popen[str] = field(repr=False)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str = "") -> "TestBucket":
        """A new one; "" = of any name."""
        name = name or f"models-{next(_BUCKETS)}"
        self._ask("PUT", f"/{name}")
        return TestBucket(self, name)

    def check_credentials(self, check: bool) -> None:
        """Refuse every request from now on, as nobody's credentials are known to it; or none."""
        self._ask("POST", "/moto-api/reset-auth", b"0" if check else b"inf")

    def hang(self) -> None:
        """Accept connections, and answer nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _ask(self, method: str, path: str, body: bytes = b"") -> None:
        request = urllib.request.Request(self.endpoint + path, data=body, method=method)  # noqa: S310 loopback
        request.add_header("Content-Type", "application/octet-stream")
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310 loopback


@dataclass(slots=True)
class TestBucket:
    """One bucket, with a repository under a prefix."""

    __test__ = False
    storage: Storage
    name: str
    prefix: str = "team/repository"

    @property
    def url(self) -> str:
        return f"s3://{self.name}/{self.prefix}"

    @property
    def store(self) -> S3Store:
        return S3Store(
            self.name,
            prefix=self.prefix,
            endpoint=self.storage.endpoint,
            region="us-east-1",
            access_key_id=KEY_ID,
            secret_access_key=SECRET,
            client_options={"allow_http": True},
        )

    def put(self, key: str, content: bytes) -> None:
        self.store.put(key, content)

    def put_raw(self, key: str, content: bytes) -> None:
        """A key that the library would not write."""
        self.storage._ask("PUT", f"/{self.name}/{key}", content)

    def publish(self, model: str, version: int, value: int) -> None:
        """A version that answers every row with `value`."""
        self.put(f"{model}/{version}/model.onnx", row_constant(value))

    def delete(self, *keys: str) -> None:
        for key in keys:
            self.store.delete(key)

    def keys(self) -> list[str]:
        return [each["path"] for chunk in self.store.list() for each in chunk]

    def sizes(self) -> list[int]:
        return [each["size"] for chunk in self.store.list() for each in chunk]

    def remove(self) -> None:
        """The whole bucket."""
        self.delete(*self.keys())
        self.storage._ask("DELETE", f"/{self.name}")


@contextlib.contextmanager
def s3_server() -> Iterator[Storage]:
    """One process of it, on a free port."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a line for each request
        text=True,
    )
    assert process.stdout is not None
    try:
        port = process.stdout.readline()
        assert port, "the S3 server has not started"
        yield Storage(int(port), process)
    finally:
        process.kill()
        process.communicate()


def given_credentials(environment: pytest.MonkeyPatch) -> None:
    """As the provider's tools read them."""
    environment.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    environment.setenv("AWS_REGION", "us-east-1")
