"""What the trials of versions have shown, kept over restarts: going back to one that this very machine, with
this very runtime, has built and run before need not wait for another trial."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final, Protocol

from onnxd.errors import LoadFailed
from onnxd.repository.examined import Examined
from onnxd.repository.examined_json import examined_from_json, examined_to_json
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.notes import Notes
from onnxd.repository.store import StoredFiles
from onnxd.runtime.devices import available_providers, cpu_kind
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.providers import CPU
from onnxd.runtime.row_inquiry import METHOD

_DIRECTORY: Final = "trials"
_MOST: Final = 1000
_MOST_BYTES: Final = 2**22


class KnownTrials(Protocol):
    """What was found before. Its methods block on the disk."""

    def recall(
        self, settings: ModelSettings, stored: StoredFiles, number: int, threads: int
    ) -> Examined | None: ...

    def remember(self, settings: ModelSettings, stored: StoredFiles, examined: Examined) -> None: ...


class TrialFiles:
    """Notes under `<state_dir>/trials`, of trials that went well, the newest thousand of them.

    Of what runs on the CPU alone: the drivers and libraries of other devices may change without a sign.
    """

    def __init__(self, state_dir: Path, default_rows: int) -> None:
        """`default_rows`: what max_batch_size becomes where it is not stated."""
        self._notes = Notes(state_dir / _DIRECTORY, most=_MOST, most_bytes=_MOST_BYTES)
        self._default_rows = default_rows

    def recall(
        self, settings: ModelSettings, stored: StoredFiles, number: int, threads: int
    ) -> Examined | None:
        """What the trial of the same files with the same settings has shown; None: nobody knows."""
        digest = self._digest(settings, stored)
        document = self._notes.read(digest)
        try:
            if document["of"] != digest:
                return None
            return examined_from_json(document["examined"], settings, stored, number, threads)
        except (ValueError, TypeError, KeyError, AttributeError, LoadFailed):
            return None

    def remember(self, settings: ModelSettings, stored: StoredFiles, examined: Examined) -> None:
        """Replaces what is there."""
        if examined.report.providers == (CPU,):
            digest = self._digest(settings, stored)
            self._notes.write(digest, {"of": digest, "examined": examined_to_json(examined)})

    def _digest(self, settings: ModelSettings, stored: StoredFiles) -> str:
        """Of all that a trial depends on: the files and settings by content, how they are read, what runs
        them, and on what."""
        config: Mapping[str, object] = asdict(settings.config.session_config())
        parts = [
            *(stored.digest, settings.digest, settings.config.file, config, self._default_rows),
            *(version("onnxd"), METHOD, onnxruntime.__version__, available_providers(), cpu_kind()),
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class NoTrials:
    """Remembers nothing."""

    def recall(
        self, settings: ModelSettings, stored: StoredFiles, number: int, threads: int
    ) -> Examined | None:
        return None

    def remember(self, settings: ModelSettings, stored: StoredFiles, examined: Examined) -> None:
        return None
