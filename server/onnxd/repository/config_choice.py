"""Which of the config files in a model's directory counts, and reading it in whichever form it is."""

from dataclasses import replace
from pathlib import Path

from onnxd.repository.config_file import BARE, LoadedConfig, read_config_file, read_model_config
from onnxd.repository.layout import CONFIG_FILE, TRITON_CONFIG_FILE
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate


def read_config(directory: Path, model: str, *, gpus: int) -> LoadedConfig:
    """config.yaml, else config.pbtxt, else the config of a bare model; `model` empty = it may be called
    anything. Raises LoadFailed.

    Of the two, config.yaml counts: it is what `onnxd convert --write` puts beside the other.
    """
    own, tritons = directory / CONFIG_FILE, directory / TRITON_CONFIG_FILE
    if own.exists():
        loaded = read_model_config(own)
        if tritons.exists():
            note = (
                f"{TRITON_CONFIG_FILE} is not read, because there is a {CONFIG_FILE}; remove one of the two"
            )
            loaded = replace(loaded, warnings=(note,))
        return loaded
    if tritons.exists():
        return translate(parse_text(read_config_file(tritons), tritons.name), model, gpus=gpus)
    return BARE
