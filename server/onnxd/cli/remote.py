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
    from onnxd_client import Client

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


@contextmanager
def connected(url: str) -> Iterator["Client"]:
    """A client of the server, with the key of ONNXD_API_KEY. What it raises is one line and exit code 1."""
    from onnxd_client import Client, ConnectFailed, ServerError

    try:
        key = os.environ.get(KEY_VARIABLE)
        client = Client(url, headers={"authorization": f"Bearer {key}"} if key else None)
    except ValueError as error:
        raise Mistake(f"--url: {printable(str(error))}") from error
    with client:
        try:
            yield client
        except ConnectFailed as error:
            raise click.ClickException(
                f"no server answers at {url}; start one with `onnxd serve`, or name another with --url "
                f"({printable(error.message)})"
            ) from error
        except ServerError as error:
            raise click.ClickException(printable(error.message)) from error
