"""From settled files to a version that serves: copy, try in a child, build, warm up.

    settings (config.yaml, labels)          read from a private copy
    version  (model.onnx, ...)              copied, then in the child: described, built, run
    both together                           a ModelSpec, or every disagreement
    in the server, or a process of its own  session, instances, warm-up, batcher

Nothing here touches what serves; whoever calls swaps it in, or throws it away.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog

from onnxd.messages import Origin
from onnxd.protocol.load_parameters import LoadOverride
from onnxd.repository.batching import BatchingConfig
from onnxd.repository.config_choice import read_config
from onnxd.repository.config_file import Problem
from onnxd.repository.examined import Begun, Examined
from onnxd.repository.fault_codes import Code
from onnxd.repository.first_times import first_times, seeded
from onnxd.repository.golden import golden_examination
from onnxd.repository.instances import choose, open_instance, risks_in
from onnxd.repository.known_trials import KnownTrials, NoTrials
from onnxd.repository.layout import ModelFiles
from onnxd.repository.memory_ledger import MemoryLedger
from onnxd.repository.model_file import graph_file
from onnxd.repository.model_settings import ModelSettings, miscounted, read_labels
from onnxd.repository.override import Override, read_override
from onnxd.repository.padding_check import PADDING, padding_question, padding_warning
from onnxd.repository.row_proof import Draft, KnownVerdicts, RowProof, draft
from onnxd.repository.served import ServedVersion
from onnxd.repository.store import NoRoom, SnapshotStore, StoredFiles
from onnxd.repository.verdicts import NoVerdicts, verdict_digest
from onnxd.runtime.deaths import Deaths
from onnxd.runtime.devices import cuda_devices
from onnxd.runtime.examination_names import RISKS, Question
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.thread_shares import ThreadBudget
from onnxd.runtime.trial import TrialRoom
from onnxd.runtime.trial_messages import TrialReport, TrialRequest
from onnxd.scheduler.batcher import Batcher
from onnxd.scheduler.clock import LoopClock
from onnxd.scheduler.fair_share import FairnessConfig, Weights
from onnxd.scheduler.forms import form_of
from onnxd.scheduler.front import Front
from onnxd.scheduler.overload import OverloadConfig
from onnxd.scheduler.single_flight import Spawn
from onnxd.scheduler.submit import CountedInFront
from onnxd.telemetry.statistics import ModelStatistics

_log = structlog.get_logger(__name__)


_MOST_EXAMINED: Final = 256
"""Versions whose examination is remembered."""


@dataclass(frozen=True, slots=True)
class LoaderOptions:
    """What an operator can set about loads and what comes of them: the same for every loader of a server."""

    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fairness: FairnessConfig = field(default_factory=FairnessConfig)
    overload: OverloadConfig = field(default_factory=OverloadConfig)
    replica: str = ""
    """What this server is called among several."""
    single_model: str = ""
    """The model that was given its name, whatever its config calls it."""


class Loader:
    """Loads versions. The store and the rooms are the caller's, open for as long as this is used."""

    def __init__(
        self,
        store: SnapshotStore,
        trials: TrialRoom,
        processes: ProcessRoom,
        *,
        threads: ThreadBudget,
        memory: MemoryLedger | None = None,
        verdicts: KnownVerdicts | None = None,
        known_trials: KnownTrials | None = None,
        options: LoaderOptions | None = None,
    ) -> None:
        """`threads` says how large a session's pool is where its config leaves it open; `memory`, whether
        there is room for it (None: there is); `verdicts`, what is known of the independence of rows, and
        `known_trials` of trials (None: nothing)."""
        options = options or LoaderOptions()
        self.threads: Final = threads
        self.memory: Final = memory or MemoryLedger()
        self._store = store
        self._trials = trials
        self._batching = options.batching
        self._weights = Weights(options.fairness.weights)
        self._overload = options.overload
        self._verdicts = verdicts or NoVerdicts()
        self._known_trials = known_trials or NoTrials()
        self._processes = processes
        self._replica = options.replica
        self._single_model = options.single_model
        self._examined: OrderedDict[tuple[str, int, str], Examined] = OrderedDict()
        """Of what was loaded while this server runs, the latest last."""

    @property
    def store(self) -> SnapshotStore:
        return self._store

    async def read_override(self, model: str, given: LoadOverride) -> Override:
        """What a load call brought, checked. Raises LoadFailed, MalformedPayload."""
        return await asyncio.to_thread(read_override, model, given, gpus=cuda_devices())

    async def read_settings(self, files: ModelFiles, override: Override | None = None) -> ModelSettings:
        """The model's config and labels, from a copy that cannot change. Raises LoadFailed."""
        return await asyncio.to_thread(self._read_settings, files, override)

    async def read_kept_settings(self, name: str, digest: str) -> ModelSettings:
        """The same, of settings that a history names. Raises LoadFailed."""
        return await asyncio.to_thread(lambda: self._settings(name, self._store.hold(digest), None))

    async def store_version(
        self, files: ModelFiles, number: int, override: Override | None = None
    ) -> StoredFiles:
        """A pinned copy of a version's files; `release` gives it back. Raises LoadFailed, Unsettled.

        If the disk is full, what the model could go back to makes room: the files come first.
        """
        if override is not None and override.versions:
            what = f"version {number} of model '{files.name}'"
            return await asyncio.to_thread(self._store.put, what, override.versions[number])
        try:
            return await asyncio.to_thread(self._store.take, files, number)
        except NoRoom:
            if not await asyncio.to_thread(self._store.give_up_previous, files.name):
                raise
            _log.warning("no room to keep what it served before", model=files.name)
            return await asyncio.to_thread(self._store.take, files, number)

    async def hold_version(self, digest: str) -> StoredFiles:
        """Like `store_version`, of what a history names. Raises LoadFailed."""
        return await asyncio.to_thread(self._store.hold, digest)

    async def release(self, stored: StoredFiles) -> None:
        await asyncio.to_thread(self._store.release, stored)

    async def examine(
        self, settings: ModelSettings, stored: StoredFiles, number: int, threads: int | None = None
    ) -> Examined:
        """Describe, build and run a version in a child process. Raises LoadFailed with the reason.

        `threads`: of its session's pool; None = the whole budget.
        """
        threads = threads or self.threads.budget
        session = settings.config.session_config()
        path = self._graph_file(settings, stored)
        graph = await self._trials.inspect(path, session, threads)
        request = TrialRequest(path, session, threads)

        def drafted(proven_rows: int) -> Draft:
            return draft(settings.name, number, settings.loaded, graph, settings.labels, proven_rows)

        async def rehearse(draft: Draft, asked: Mapping[str, Question]) -> TrialReport:
            sent = [tensor.name for tensor in draft.spec.inputs]
            asked = {RISKS: {"sent": sent}, **golden_examination(draft.spec, stored.path), **asked}
            if question := padding_question(draft.spec):
                asked[PADDING] = question
            return await self._trials.rehearse(replace(request, warmup=draft.plan.runs, examinations=asked))

        proof = RowProof(
            settings.loaded,
            graph,
            drafted,
            rehearse,
            default_rows=self._batching.default_max_batch_size,
            known=self._verdicts,
            digest=verdict_digest(stored.digest, settings.config.file, session),
        )
        tried = await proof.run()
        isolation = choose(settings.config.isolation, risks_in(tried.report.findings.get(RISKS, {})))
        padding = padding_warning(tried.report.findings.get(PADDING))
        if padding and settings.config.batching.verify == "strict":
            text = padding.removeprefix("dynamic_axes: ")
            raise settings.loaded.failure([Problem(("dynamic_axes",), text, Code.ROWS)])
        found = (padding, isolation.warning)
        warnings = (
            *miscounted(settings, tried.spec),
            *tried.warnings,
            *filter(None, found),
            *tried.report.notes,
        )
        request = replace(request, warmup=tried.plan.runs)
        return Examined(tried.spec, tried.report, request, tried.plan, warnings, tried.rows, isolation)

    async def begin(
        self,
        resources: AsyncExitStack,
        settings: ModelSettings,
        stored: StoredFiles,
        number: int,
        identity: str,
        *,
        again: bool,
        processes: int = 1,
    ) -> Begun:
        """What every load begins with: memory and threads, held by `resources`, and the examination, which is
        spared where it is `again` and known. `processes`: how many will have its sessions. Raises
        LoadFailed."""
        start_s = time.monotonic()
        config = settings.config
        memory = await resources.enter_async_context(
            self.memory.hold(
                settings.name,
                number,
                identity,
                files_bytes=stored.size_bytes,
                sessions=config.instances * processes,
            )
        )
        threads = resources.enter_context(self.threads.claim(settings.name, config.thread_claim(), number))
        examined = await self._known(settings, stored, number, identity, threads) if again else None
        if examined is None:
            examined = await self.examine(settings, stored, number, threads)
            await asyncio.to_thread(self._known_trials.remember, settings, stored, examined)
        tried = examined.report
        self.memory.measured(memory, identity, tried.peak_bytes, tried.resident_bytes)
        return Begun(start_s, memory, threads, examined, stored.digest)

    async def load(
        self,
        settings: ModelSettings,
        stored: StoredFiles,
        number: int,
        identity: str,
        spawn: Spawn,
        *,
        again: bool = False,
    ) -> ServedVersion:
        """A version that is loaded and warm. Takes over `stored`, and releases it if this fails. `spawn` runs
        what belongs to no request, while the version serves. With `again`, one whose examination is known
        is not examined anew.

        Raises LoadFailed; what a crash of ONNX Runtime took along is a child process.
        """
        async with AsyncExitStack() as resources:
            resources.push_async_callback(self.release, stored)
            begun = await self.begin(resources, settings, stored, number, identity, again=again)
            config, memory, threads, examined = settings.config, begun.memory, begun.threads, begun.examined
            tried, spec = examined.report, examined.spec
            times = tried.run_times_s
            isolation, deaths = examined.isolation.reason, Deaths()
            path = self._graph_file(settings, stored).absolute()
            session = config.session_config()
            if examined.isolation.lean:
                session = replace(session, memory_arena=False)
            instances = [
                await resources.enter_async_context(
                    open_instance(
                        self._processes,
                        TrialRequest(path, session, threads),
                        examined.warmup,
                        deaths,
                        isolated=bool(isolation),
                        model=spec.name,
                        label=f"{spec.name}-{number}-{index}",
                        expected_run_s=max(times) if times else None,
                    )
                )
                for index in range(config.instances)
            ]
            in_front = CountedInFront() if config.batching.in_front else None
            statistics = in_front or ModelStatistics()
            max_rows = spec.max_batch_size if config.batching.dynamic else 0
            clock = LoopClock(asyncio.get_running_loop())
            form = form_of(spec, max_rows=max_rows, count=statistics.record_padding)
            batcher = Batcher(
                spec.name,
                instances,
                max_rows=max_rows,
                form=form,
                policy=config.batching.policy(),
                statistics=statistics,
                clock=clock,
                times=seeded(
                    first_times(examined.warmup, times, spec, form), max_rows=max_rows, now_s=clock.now_s()
                ),
                origin=Origin(
                    spec.name, number, stored.digest, next(iter(tried.providers), ""), self._replica
                ),
                weights=self._weights,
                overload=self._overload,
            )
            front: Front | None = None
            if in_front is not None:
                front = Front(
                    batcher.submit,
                    max_rows=spec.max_batch_size,
                    instances=config.instances,
                    single_flight=config.batching.single_flight,
                    split_large=config.batching.split_large,
                    statistics=in_front,
                    spawn=spawn,
                    clock=clock,
                )
            self.memory.loaded(memory)
            resources.callback(
                lambda: self.memory.closing(memory, sum(each.apart_bytes for each in instances))
            )
            report = begun.report()
            self.know(settings.name, number, identity, examined)
            return ServedVersion(
                spec=spec,
                config=config,
                identity=identity,
                batcher=batcher,
                statistics=statistics,
                report=report,
                resources=resources.pop_all(),
                instances=instances,
                stated=settings.loaded.stated,
                loaded=settings.loaded,
                front=front,
                tried=examined.request,
                deaths=deaths.counts if isolation else None,
            )

    def _read_settings(self, files: ModelFiles, override: Override | None) -> ModelSettings:
        if override is not None and override.versions:
            stored = self._store.put(f"the settings of model '{files.name}'", override.beside)
        else:
            stored = self._store.take_settings(files)
        return self._settings(files.name, stored, override)

    def _settings(self, name: str, stored: StoredFiles, override: Override | None) -> ModelSettings:
        """Takes over `stored`, and releases it if this fails."""
        try:
            if override is None:
                named = "" if name == self._single_model else name
                loaded = read_config(stored.path, named, gpus=cuda_devices())
                digest = stored.digest
            else:
                loaded, digest = override.loaded, override.digest
            labels = {
                output: read_labels(stored.path / file, file)
                for output, file in loaded.config.label_files.items()
            }
            return ModelSettings(name, loaded, labels, digest, stored)
        except BaseException:
            self._store.release(stored)
            raise

    async def find_out(
        self, settings: ModelSettings, stored: StoredFiles, number: int, identity: str
    ) -> None:
        """Examine a version that is to be loaded later, unless that is known. Raises LoadFailed."""
        threads = self.threads.budget
        examined = await self._known(settings, stored, number, identity, threads)
        if examined is None:
            examined = await self.examine(settings, stored, number)
            await asyncio.to_thread(self._known_trials.remember, settings, stored, examined)
        self.know(settings.name, number, identity, examined)

    async def _known(
        self, settings: ModelSettings, stored: StoredFiles, number: int, identity: str, threads: int
    ) -> Examined | None:
        if known := self._examined.get((settings.name, number, identity)):
            return known
        return await asyncio.to_thread(self._known_trials.recall, settings, stored, number, threads)

    def know(self, model: str, number: int, identity: str, examined: Examined) -> None:
        """A version was examined, here or elsewhere: a `load` of it `again` has no more to find out."""
        known = (model, number, identity)
        self._examined[known] = examined
        self._examined.move_to_end(known)
        while len(self._examined) > _MOST_EXAMINED:
            self._examined.popitem(last=False)

    @staticmethod
    def _graph_file(settings: ModelSettings, stored: StoredFiles) -> Path:
        return graph_file(stored.path, settings.loaded)
