"""What lies beside a model's versions: its config and its labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxd.errors import LoadFailed
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.model_spec import miscounted_labels
from onnxd.repository.store import StoredFiles
from onnxd.tensors import ModelSpec


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What lies beside a model's versions, read once for all of them."""

    name: str
    loaded: LoadedConfig
    labels: Mapping[str, tuple[str, ...]]
    digest: str
    """Of the settings' content."""
    stored: StoredFiles
    """The copy that they were read from. Whoever has read them releases it."""

    @property
    def config(self) -> ModelConfig:
        return self.loaded.config

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the config has no effect, a line each."""
        return self.loaded.warnings


def miscounted(settings: ModelSettings, spec: ModelSpec) -> Iterator[str]:
    """Labels that are more or fewer than the classes, for a warning: Triton loads such models as well."""
    if settings.loaded.stated is not None:
        for output in spec.outputs:
            if output.labels and (text := miscounted_labels(output, len(output.labels))):
                yield f"labels: the file has {text}"


def read_labels(path: Path, file: str) -> tuple[str, ...]:
    """A label a line. `file` is how errors name it. Raises LoadFailed."""
    try:
        return tuple(path.read_text("utf-8").splitlines())
    except FileNotFoundError as error:
        raise LoadFailed(f"labels file '{file}' is not in the model's directory") from error
    except UnicodeDecodeError as error:
        raise LoadFailed(f"labels file '{file}' is not UTF-8 text") from error
