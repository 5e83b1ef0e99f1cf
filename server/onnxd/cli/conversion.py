"""What `onnxd convert` finds in a directory, and makes of it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxd.cli.mistake import Mistake
from onnxd.errors import LoadFailed
from onnxd.repository.config_file import read_config_file
from onnxd.repository.layout import CONFIG_FILE, TRITON_CONFIG_FILE
from onnxd.repository.pbtxt.converted import convert
from onnxd.repository.pbtxt.text import parse_text
from onnxd.runtime.devices import cuda_devices


@dataclass(frozen=True, slots=True)
class Conversion:
    """One model's config."""

    target: Path
    """Where config.yaml belongs."""
    text: str = ""
    fault: str = ""
    """Why it cannot be converted, with the file's path in each line; empty = it can."""

    def write(self) -> None:
        """Raises Mistake: a config.yaml that is there is somebody's work."""
        try:
            with open(self.target, "x", encoding="utf-8") as file:
                file.write(self.text)
        except FileExistsError as error:
            raise Mistake(f"{self.target} is there already; remove it to have it written anew") from error
        except OSError as error:
            raise Mistake(f"{self.target} cannot be written: {error.strerror}") from error


def conversions(directory: Path) -> list[Conversion]:
    """Of a model's directory, or of each model in a repository's. By name."""
    return [_convert(model) for model in _models(directory)]


def _models(directory: Path) -> Iterator[Path]:
    if (directory / TRITON_CONFIG_FILE).is_file():
        yield directory
        return
    for model in sorted(directory.iterdir()):
        if (model / TRITON_CONFIG_FILE).is_file():
            yield model


def _convert(model: Path) -> Conversion:
    source, target = model / TRITON_CONFIG_FILE, model / CONFIG_FILE
    name = os.path.basename(os.path.abspath(model))
    try:
        stated = parse_text(read_config_file(source), TRITON_CONFIG_FILE)
        return Conversion(target, convert(stated, name, gpus=cuda_devices()).text)
    except LoadFailed as error:
        lines = error.message.splitlines()
        return Conversion(target, fault="\n".join(f"{model / line}" for line in lines))
