"""From settled files to a version that serves: copy, try in a child, build, warm up.

    settings (config.yaml, labels)          read from a private copy
    version  (model.onnx, ...)              copied, then in the child: described, built, run
    both together                           a ModelSpec, or every disagreement
    in the server                           session, instances, warm-up, batcher

Nothing here touches what serves; whoever calls swaps it in, or throws it away.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onnxd.errors import LoadFailed
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_file import BARE, LoadedConfig, read_model_config
from onnxd.repository.layout import CONFIG_FILE, ModelFiles
from onnxd.repository.model_spec import merge
from onnxd.repository.served import LoadReport, ServedVersion
from onnxd.repository.store import SnapshotStore, StoredFiles
from onnxd.repository.warmup import InputShapes, plan_warmup
from onnxd.runtime.instance import Instance
from onnxd.runtime.memory import give_back
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.trial import TrialRoom
from onnxd.runtime.trial_messages import TrialReport, TrialRequest
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.clock import LoopClock
from onnxd.telemetry.statistics import ModelStatistics
from onnxd.tensors import Array, Datatype, ModelSpec


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What lies beside a model's versions, read once for all of them."""

    name: str
    loaded: LoadedConfig
    labels: Mapping[str, tuple[str, ...]]
    digest: str
    """Of the settings' content."""

    @property
    def config(self) -> ModelConfig:
        return self.loaded.config


@dataclass(frozen=True, slots=True)
class Examined:
    """A version that a child process has built and run."""

    spec: ModelSpec
    report: TrialReport
    warmup: tuple[InputShapes, ...]


class Loader:
    """Loads versions. The store and the trial room are the caller's, open for as long as this is used."""

    def __init__(self, store: SnapshotStore, trials: TrialRoom, *, threads: int) -> None:
        """`threads`: the size of a session's pool where its config leaves it open."""
        self._store = store
        self._trials = trials
        self._threads = threads

    async def read_settings(self, files: ModelFiles) -> ModelSettings:
        """The model's config and labels, from a copy that cannot change. Raises LoadFailed."""
        return await asyncio.to_thread(self._read_settings, files)

    async def store_version(self, files: ModelFiles, number: int) -> StoredFiles:
        """A pinned copy of a version's files; `release` gives it back. Raises LoadFailed, Unsettled."""
        return await asyncio.to_thread(self._store.take, files, number)

    async def release(self, stored: StoredFiles) -> None:
        await asyncio.to_thread(self._store.release, stored)

    async def examine(self, settings: ModelSettings, stored: StoredFiles, number: int) -> Examined:
        """Describe, build and run a version in a child process. Raises LoadFailed with the reason."""
        session = settings.config.session_config()
        path = self._graph_file(settings, stored)
        graph = await self._trials.inspect(path, session, self._threads)
        spec = merge(settings.name, number, settings.loaded, graph, settings.labels)
        plan = plan_warmup(spec, settings.config.warmup)
        runs = () if plan.guessed else plan.runs
        report = await self._trials.rehearse(TrialRequest(path, session, self._threads, runs))
        return Examined(spec, report, runs)

    async def load(
        self, settings: ModelSettings, stored: StoredFiles, number: int, identity: str
    ) -> ServedVersion:
        """A version that is loaded and warm. Takes over `stored`, and releases it if this fails.

        Raises LoadFailed; what a crash of ONNX Runtime took along is a child process.
        """
        start_s = time.monotonic()
        async with AsyncExitStack() as resources:
            resources.push_async_callback(asyncio.to_thread, give_back)
            resources.push_async_callback(self.release, stored)
            examined = await self.examine(settings, stored, number)
            config, spec = settings.config, examined.spec
            times = examined.report.run_times_s
            instances = []
            for index in range(config.instances):
                session = await asyncio.to_thread(
                    OnnxSession.open,
                    self._graph_file(settings, stored),
                    config.session_config(),
                    self._threads,
                )
                instance = Instance(
                    session,
                    name=f"{spec.name}-{number}-{index}",
                    loop=asyncio.get_running_loop(),
                    expected_run_s=max(times) if times else None,
                )
                instances.append(await resources.enter_async_context(instance))
                await asyncio.to_thread(_warm_up, session, examined.warmup)
            statistics = ModelStatistics()
            batcher = Batcher(
                spec.name,
                instances,
                max_rows=spec.max_batch_size,
                policy=config.batching.policy(),
                statistics=statistics,
                clock=LoopClock(asyncio.get_running_loop()),
            )
            report = LoadReport(
                providers=examined.report.providers,
                load_s=time.monotonic() - start_s,
                peak_bytes=examined.report.peak_bytes,
            )
            return ServedVersion(
                spec=spec,
                config=config,
                identity=identity,
                batcher=batcher,
                statistics=statistics,
                report=report,
                resources=resources.pop_all(),
                instances=instances,
            )

    def _read_settings(self, files: ModelFiles) -> ModelSettings:
        stored = self._store.take_settings(files)
        try:
            loaded = read_model_config(stored.path / CONFIG_FILE) if files.config is not None else BARE
            labels = {
                output: _read_labels(stored.path / file, file)
                for output, file in loaded.config.label_files.items()
            }
            return ModelSettings(files.name, loaded, labels, stored.digest)
        finally:
            self._store.release(stored)

    @staticmethod
    def _graph_file(settings: ModelSettings, stored: StoredFiles) -> Path:
        path = stored.path / settings.config.file
        if not path.is_file():
            present = sorted(entry.name for entry in stored.path.iterdir())
            raise LoadFailed(
                f"its directory has no file '{settings.config.file}' but {', '.join(present) or 'nothing'}; "
                f"name the file to load with 'file' in {CONFIG_FILE}"
            )
        return path


def _read_labels(path: Path, file: str) -> tuple[str, ...]:
    try:
        return tuple(path.read_text("utf-8").splitlines())
    except FileNotFoundError as error:
        raise LoadFailed(f"labels file '{file}' is not in the model's directory") from error
    except UnicodeDecodeError as error:
        raise LoadFailed(f"labels file '{file}' is not UTF-8 text") from error


def _warm_up(session: OnnxSession, runs: Sequence[InputShapes]) -> None:
    """The same runs again, here: they allocate what the first request would wait for."""
    for run in runs:
        session.run({name: _blank(datatype, shape) for name, (datatype, shape) in run.items()}, ())


def _blank(datatype: Datatype, shape: tuple[int, ...]) -> Array:
    return np.full(shape, "", object) if datatype is Datatype.BYTES else np.zeros(shape, datatype.dtype)
