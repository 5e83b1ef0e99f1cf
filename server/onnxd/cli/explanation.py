"""A model's directory explained, without a server: its graph is read by a child process."""

import asyncio
import os
import tempfile
from pathlib import Path

from onnxd.cli.mistake import Mistake
from onnxd.errors import LoadFailed
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.explanation import Explained, explained
from onnxd.repository.layout import ModelFiles, scan
from onnxd.repository.loader import Loader
from onnxd.repository.model_file import graph_file
from onnxd.repository.model_spec import merge
from onnxd.repository.store import SnapshotStore
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.thread_shares import ThreadBudget
from onnxd.runtime.threads import cpu_budget
from onnxd.runtime.trial import TrialLimits, TrialRoom
from onnxd.tensors import ModelSpec


def explain_model(directory: Path, version: int | None, limits: TrialLimits) -> list[Explained]:
    """Blocks while a child process reads the graph. Raises Mistake, and LoadFailed with every fault."""
    path = Path(os.path.abspath(directory))
    files = scan([path.parent]).models.get(path.name)
    if files is None:
        raise Mistake(f"{directory} is no model's directory")
    if files.fault:
        raise LoadFailed(files.fault)
    loaded, spec = asyncio.run(_read(files, version, limits))
    return list(explained(loaded, spec))


async def _read(
    files: ModelFiles, version: int | None, limits: TrialLimits
) -> tuple[LoadedConfig, ModelSpec]:
    with (
        tempfile.TemporaryDirectory(prefix="onnxd-explain-") as state,
        SnapshotStore(Path(state)) as store,
    ):
        async with TrialRoom(limits, parallel=1) as trials:
            loader = Loader(store, trials, ProcessRoom(), threads=ThreadBudget(cpu_budget()))
            settings = await loader.read_settings(files)
            loaded = settings.loaded
            number = version or max(loaded.config.versions.select(files.versions), default=0)
            if number not in files.versions:
                there = ", ".join(map(str, files.versions))
                raise Mistake(f"{files.name} has no such version; it has {there}: choose one with --version")
            # The copies go with the store.
            stored = await loader.store_version(files, number)
            path = graph_file(stored.path, loaded)
            graph = await trials.inspect(path, loaded.config.session_config(), cpu_budget())
            return loaded, merge(files.name, number, loaded, graph, settings.labels)
