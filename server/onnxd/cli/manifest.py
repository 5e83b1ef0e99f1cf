"""`onnxd manifest`."""

from pathlib import Path

import click


@click.command("manifest")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write manifest.yaml into DIRECTORY, a model's or a version's: the SHA-256 of each of its files.

    With it the server loads the files as soon as they are whole, and never while they are not; it names the
    file that differs. Write it before you publish, and again after every change. A model's manifest covers
    its config and all its versions.
    """
    # Imports what a server reads a repository with, which --help should not wait for.
    from onnxd.cli.manifest_file import write_manifest

    path, count = write_manifest(directory)
    click.echo(f"{path}: {count} {'file' if count == 1 else 'files'}")
