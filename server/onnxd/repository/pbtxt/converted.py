"""config.pbtxt -> the text of the config.yaml that says the same."""

from dataclasses import dataclass
from typing import Any, Final

import yaml

from onnxd.repository.config_file import decode
from onnxd.repository.document import Document
from onnxd.repository.pbtxt.text import Stated
from onnxd.repository.pbtxt.translation import written_out

_ORDER: Final = (
    "file", "max_batch_size", "inputs", "outputs", "batch_inputs", "providers", "instances", "session",
    "batching", "versions", "warmup", "parameters",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Converted:
    """A config.yaml, and what did not make it there."""

    text: str
    left_out: tuple[str, ...]
    """A line each; the text has them as comments."""


def convert(stated: Stated, model: str, *, gpus: int) -> Converted:
    """Raises LoadFailed with every fault of a config that cannot be served."""
    sheet = written_out(stated, model, gpus=gpus)
    decode(sheet.document)
    comments = [f"# Converted from {stated.source}."]
    comments += (f"# Note: {line.partition(': ')[2]}" for line in sheet.warnings())
    return Converted("\n".join((*comments, "")) + _dumped(sheet.document), sheet.warnings())


class _Dumper(yaml.SafeDumper):
    """Without anchors, which config.yaml does not have."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(document: Document) -> str:
    value: dict[str, Any] = {key: document.value[key] for key in _ORDER if key in document.value}
    if not value:
        return ""
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=110,
    )
    return str(text)
