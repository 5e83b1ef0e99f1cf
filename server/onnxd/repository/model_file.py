"""Where a version's graph lies among its files."""

from pathlib import Path
from typing import Final

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import LoadedConfig

_FILE: Final = "model.onnx"


def graph_file(directory: Path, loaded: LoadedConfig) -> Path:
    """The file of the graph in a copy of the version. Raises LoadFailed."""
    file = loaded.config.file
    path = directory / file
    if path.is_dir():  # the graph together with the weights that it keeps outside
        inner = [path / name for name in (_FILE, file) if (path / name).is_file()]
        if not inner:
            raise LoadFailed(f"'{file}' is a directory without the file '{_FILE}' in it")
        return inner[0]
    if not path.is_file():
        present = sorted(entry.name for entry in directory.iterdir())
        raise LoadFailed(
            f"its directory has no file '{file}' but {', '.join(present) or 'nothing'}; "
            f"name the file to load with '{loaded.name('file')}' in {loaded.document.source}"
        )
    return path
