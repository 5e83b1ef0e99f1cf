"""`onnxd keys`: who may ask the server, by API keys in a file."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from onnxd.cli.mistake import Mistake
from onnxd.cli.output import print_json, print_table

_DAY_S: Final = 86_400


def _file_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--file",
        "path",
        envvar="ONNXD_AUTH_KEYS_FILE",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("keys.json"),
        show_default=True,
        help="The file of keys that the server is given as auth.keys_file; also ONNXD_AUTH_KEYS_FILE.",
    )(function)


@click.group("keys")
def command() -> None:
    """Make, list and revoke API keys.

    A running server follows the file: what is changed here takes effect within a second.
    """


@command.command("add")
@click.argument("principal")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="What it may do, such as infer:digits*, metadata, control, or a role: reader, invoker, operator, "
    "admin. Repeat for more.",
)
@click.option("--days", type=click.IntRange(min=1), help="How long it holds; else until it is revoked.")
@_file_option
def add(principal: str, scopes: tuple[str, ...], days: int | None, path: Path) -> None:
    """Make a key for PRINCIPAL and show it, once."""
    from onnxd.security import key_file
    from onnxd.security.scopes import ScopeFault

    if not principal.isprintable() or not principal or len(principal) > 128:
        raise Mistake("PRINCIPAL: expected a name of 1 to 128 printable characters")
    now_s = time.time()
    try:
        keys = key_file.load(path) if path.exists() else key_file.empty()
        keys, key = keys.with_new(principal, scopes, now_s, None if days is None else now_s + days * _DAY_S)
        key_file.save(path, keys)
    except ScopeFault as fault:
        raise Mistake(f"--scope: {fault}") from fault
    except key_file.KeyFileUnusable as error:
        raise click.ClickException(str(error)) from error
    click.echo(key.text())
    click.echo(f"Key {key.id} of {principal}; it is not shown again. Its file is {path}.", err=True)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_file_option
def list_keys(as_json: bool, path: Path) -> None:
    """Show the keys: whose they are and what they may do, never the keys themselves."""
    from onnxd.security import key_file

    try:
        records = key_file.load(path).records.values()
    except key_file.KeyFileUnusable as error:
        raise click.ClickException(str(error)) from error
    header = ("id", "principal", "scopes", "created", "ends", "state")
    now_s = time.time()
    rows = [
        (
            record.id,
            record.principal,
            ", ".join(record.scopes),
            _date(record.created),
            _date(record.not_after),
            record.state(now_s),
        )
        for record in records
    ]
    if as_json:
        print_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        print_table(header, rows)


@command.command("revoke")
@click.argument("id")
@_file_option
def revoke(id: str, path: Path) -> None:
    """End the key with this ID, now."""
    from onnxd.security import key_file

    try:
        keys = key_file.load(path).without(id)
        if keys is None:
            raise Mistake(f"no key has the id '{id}'; `onnxd keys list` shows them")
        key_file.save(path, keys)
    except key_file.KeyFileUnusable as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Key {id} holds no longer.")


def _date(epoch_s: float | None) -> str:
    return "never" if epoch_s is None else datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
