"""What the commands share that talk to a running server."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from onnxd.cli.mistake import Mistake
from onnxd.cli.output import printable
from onnxd.settings.names import KEY_VARIABLE, URL_VARIABLE

if TYPE_CHECKING:
    from onnxd_client import AsyncClient, Client

DEFAULT_URL: Final = "http://127.0.0.1:8000"


def url_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --url."""
    return click.option(
        "--url",
        envvar=URL_VARIABLE,
        default=DEFAULT_URL,
        show_default=True,
        help=f"The server: http://host:port or grpc://host:port; also {URL_VARIABLE}.",
    )(function)


def client_of(url: str, *, deadline_s: float = 60.0) -> "Client":
    """A client of the server, with the key of ONNXD_API_KEY. Raises ValueError for what is no address."""
    from onnxd_client import Client

    return Client(url, headers=key_header(), deadline=deadline_s)


def measuring_client(url: str, *, deadline_s: float, connections: int) -> "AsyncClient":
    """A client whose refusals are counted, not hidden behind another try. Raises Mistake for what is no
    address."""
    from onnxd_client import AsyncClient, RetryPolicy

    with usable(url):
        return AsyncClient(
            url,
            deadline=deadline_s,
            headers=key_header(),
            retry=RetryPolicy(max_tries=1),
            connections=connections,
        )


def key_header() -> dict[str, str]:
    """What says who asks; empty without a key."""
    key = os.environ.get(KEY_VARIABLE)
    return {"authorization": f"Bearer {key}"} if key else {}


@contextmanager
def connected(url: str) -> Iterator["Client"]:
    """`client_of` the server. What it raises is one line and exit code 1."""
    with usable(url):
        client = client_of(url)
    with told(url), client:
        yield client


@contextmanager
def usable(url: str) -> Iterator[None]:
    """Making a client in here raises Mistake for what is no address, with what was probably meant."""
    try:
        yield
    except ValueError as error:
        raise Mistake(f"--url: {printable(str(error))}") from error


@contextmanager
def told(url: str) -> Iterator[None]:
    """What a client of the server raises in here is one line and exit code 1."""
    from onnxd_client import ConnectFailed, ServerError

    try:
        yield
    except ConnectFailed as error:
        raise click.ClickException(
            f"no server answers at {url}; start one with `onnxd serve`, or name another with --url "
            f"({printable(error.message)})"
        ) from error
    except ServerError as error:
        raise click.ClickException(printable(error.message)) from error
