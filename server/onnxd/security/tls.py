"""The server's certificate: read from its files, and again whenever they change.

A certificate and its key are two files, which change one after the other; until they fit each other again the
old pair is presented. Connections that are open keep what they began with.
"""

import asyncio
import contextlib
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog

from onnxd.security.repeated import Repeated
from onnxd.units import Seconds

_MOST_BYTES: Final = 1 << 20
_HTTP1: Final = "http/1.1"
_HTTP2: Final = "h2"

_log = structlog.get_logger(__name__)


class TlsUnusable(OSError):
    """The files of `tls` cannot be used. For the operator at start-up: the message names the mend."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS 1.2 and 1.3 on every listener."""

    certificate: Path | None = None
    """A PEM file with the server's certificate and, behind it, those up to its authority; with one, every
    listener speaks TLS alone."""
    key: Path | None = None
    """A PEM file with that certificate's key, not encrypted."""
    client_ca: Path | None = None
    """A PEM file with authorities; with one, clients need a certificate of theirs to connect at all."""
    interval: Seconds = 1.0
    """How often the files are looked at, for changes to take effect."""


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate with its key, and whose certificates clients need, as they were read together."""

    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


class Certificates:
    """What the server presents. An async context manager: while it is open it follows its files."""

    def __init__(self, config: TlsConfig) -> None:
        """Of a config that has a certificate and a key."""
        self._config = config
        self._pem: Pem | None = None
        self._seen: Pem | None = None
        self._looking = asyncio.Lock()
        self._presented = {alpn: _Presented(alpn) for alpn in (_HTTP1, _HTTP2)}
        self._looks = Repeated(self.look, config.interval, "certificates")

    async def __aenter__(self) -> "Certificates":
        """Raises TlsUnusable."""
        pem = await asyncio.to_thread(_read, self._config)
        await asyncio.to_thread(self._present, pem)
        self._pem = self._seen = pem
        await self._looks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._looks.__aexit__(kind, error, traceback)

    @property
    def pem(self) -> Pem:
        """The pair that is presented now."""
        if self._pem is None:
            raise RuntimeError("not open")
        return self._pem

    @property
    def context(self) -> ssl.SSLContext:
        """For listeners of HTTP/1.1: always the same, whatever pair it presents."""
        return self._presented[_HTTP1].context

    @property
    def http2_context(self) -> ssl.SSLContext:
        """The same for listeners of HTTP/2."""
        return self._presented[_HTTP2].context

    async def look(self) -> None:
        """Take over the files if they have changed and fit each other."""
        async with self._looking:
            try:
                pem = await asyncio.to_thread(_read, self._config)
                if pem == self._seen:
                    return
                self._seen = pem
                await asyncio.to_thread(self._present, pem)
            except TlsUnusable as error:
                _log.warning("certificates", reason=str(error), effect="the old ones are presented")
                return
            self._pem = pem
            _log.info("certificates", effect="new connections get the new ones")

    def _present(self, pem: Pem) -> None:
        for presented in self._presented.values():
            presented.take(pem)


class _Presented:
    """What listeners of one protocol present."""

    def __init__(self, alpn: str) -> None:
        self._alpn = alpn
        self._current: ssl.SSLContext | None = None
        self._context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        if self._context is None:
            raise RuntimeError("not open")
        return self._context

    def take(self, pem: Pem) -> None:
        """Present this pair from now on. Raises TlsUnusable."""
        self._current = _context(pem, self._alpn)
        if self._context is None:
            self._context = _context(pem, self._alpn)
            # Called in every handshake, with a server name or without: connections get the newest pair, while
            # listeners keep the one context that they were given.
            self._context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        if self._current is not None:
            connection.context = self._current


def _read(config: TlsConfig) -> Pem:
    if config.certificate is None or config.key is None:
        raise TlsUnusable("TLS needs both tls.certificate and tls.key")
    return Pem(
        _bytes(config.certificate),
        _bytes(config.key),
        None if config.client_ca is None else _bytes(config.client_ca),
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise TlsUnusable(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MOST_BYTES:
        raise TlsUnusable(f"{path} is larger than {_MOST_BYTES} bytes: that is no file of certificates")
    return data


def _context(pem: Pem, alpn: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([alpn])
    try:
        if pem.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=pem.client_ca.decode("ascii"))
        with _files(pem.certificate, pem.key) as (certificate, key):
            context.load_cert_chain(certificate, key, password=_NO_PASSWORD)
    except (OSError, ValueError) as error:
        raise TlsUnusable(
            "tls.certificate and tls.key are not a certificate and its key, both PEM and not encrypted, or "
            f"tls.client_ca has no certificate ({type(error).__name__})"
        ) from error
    return context


_NO_PASSWORD: Final[Callable[[], str]] = str
"""For an encrypted key: without an answer OpenSSL would ask on the terminal, and wait."""


@contextlib.contextmanager
def _files(*contents: bytes) -> Iterator[list[str]]:
    """The contents as files of ours, since OpenSSL takes a pair by its files' names only: what is loaded is
    what was read, even if the originals have changed since."""
    with tempfile.TemporaryDirectory(prefix="onnxd-") as directory:
        paths = [os.path.join(directory, str(number)) for number, _ in enumerate(contents)]
        for path, content in zip(paths, contents, strict=True):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        yield paths
