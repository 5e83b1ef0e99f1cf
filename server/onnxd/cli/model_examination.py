"""Examines one model: its config, then each version's graph, both together, and a first run."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxd.cli.check_report import FaultyFile, Finding, Verdict
from onnxd.errors import LoadFailed
from onnxd.repository.config_check import Surroundings, config_faults, readable_config
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.document import Fault, FaultyConfig, path_text, render
from onnxd.repository.examined import Examined
from onnxd.repository.fault_codes import Code
from onnxd.repository.layout import CONFIG_FILE, TRITON_CONFIG_FILE, ModelFiles
from onnxd.repository.loader import Loader
from onnxd.repository.mending import mended_alone
from onnxd.repository.model_file import graph_file
from onnxd.repository.model_settings import ModelSettings
from onnxd.repository.store import SnapshotStore
from onnxd.repository.yaml_edit import changed_lines
from onnxd.runtime.devices import available_providers, known_providers
from onnxd.runtime.graph import GraphSpec
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.trial import TrialRoom
from onnxd.tensors import ModelSpec, TensorSpec

_IN_CONFIG = re.compile(
    rf"^({re.escape(CONFIG_FILE)}|{re.escape(TRITON_CONFIG_FILE)})(?=:\d+:\d+: | is not read)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What examinations share."""

    store: SnapshotStore
    trials: TrialRoom
    loader: Loader
    threads: int


class ModelExamination:
    """One model's. `run` it, then read the rest."""

    def __init__(self, bench: Bench, files: ModelFiles) -> None:
        self.verdicts: list[Verdict] = []
        self.findings: list[Finding] = []
        self.warnings: list[str] = []
        self.faulty_file: FaultyFile | None = None
        """Its config.yaml, if there is anything wrong with that."""
        self._bench = bench
        self._files = files
        self._data: bytes | None = None
        self._texts: dict[str, Sequence[str]] = {}
        self._graphs: dict[int, GraphSpec] = {}

    async def run(self) -> None:
        files = self._files
        if files.fault:
            self._fault(None, files.fault, Code.FILES if files.versions else Code.NO_VERSION)
            return
        try:
            await asyncio.to_thread(self._read_beside)
            own = config_faults(self._data or b"", CONFIG_FILE, self._around({}))
            settings = None if own else await self._bench.loader.read_settings(files)
        except FaultyConfig as error:
            self._config_faults(None, error.source, error.faults, error.message)
            return
        except LoadFailed as error:
            self._fault(None, error.message, Code.FILES)
            return
        try:
            await self._versions(settings)
        finally:
            if settings is not None:
                await self._bench.loader.release(settings.stored)
        if self._data is None:
            return
        chosen = self._readable().config.versions.select(files.versions)
        graphs = {number: graph for number, graph in self._graphs.items() if number in chosen}
        around = self._around(graphs or self._graphs)
        if own:
            every = config_faults(self._data, CONFIG_FILE, self._around(self._graphs))
            self._config_faults(None, CONFIG_FILE, every, render(CONFIG_FILE, every))
        if own or any(finding.file for finding in self.findings if not finding.code.is_note):
            self.faulty_file = FaultyFile(files.path / CONFIG_FILE, self._data, around)

    async def _versions(self, settings: ModelSettings | None) -> None:
        """Each version, and whether any is chosen."""
        files = self._files
        if settings is not None:
            self._notes(settings.warnings)
        for number in files.versions:
            await self._version(number, settings)
        if settings is not None and not settings.config.versions.select(files.versions):
            there = ", ".join(map(str, files.versions))
            policy = settings.loaded.name("versions")
            source = settings.loaded.document.source
            text = f"none of its versions ({there}) is chosen by '{policy}' in its {source}"
            self._fault(None, text, Code.NO_VERSION)

    def _read_beside(self) -> None:
        """The config's text, and those of the files that may be labels."""
        stored = self._bench.store.take_settings(self._files)
        try:
            if (stored.path / CONFIG_FILE).is_file():
                self._data = (stored.path / CONFIG_FILE).read_bytes()
            for stamp in self._files.settings:
                if stamp.path not in (CONFIG_FILE, TRITON_CONFIG_FILE):
                    text = (stored.path / stamp.path).read_bytes().decode("utf-8", "replace")
                    self._texts[stamp.path] = text.splitlines()
        finally:
            self._bench.store.release(stored)

    def _around(self, graphs: dict[int, GraphSpec]) -> Surroundings:
        return Surroundings(graphs, self._texts, available_providers(), known_providers())

    async def _version(self, number: int, settings: ModelSettings | None) -> None:
        """`settings` None: the config is faulty, and only the graph is wanted."""
        loader = self._bench.loader
        try:
            stored = await loader.store_version(self._files, number)
        except LoadFailed as error:
            self._fault(number, error.message, Code.FILES)
            return
        try:
            await self._stored_version(number, stored.path, settings)
            if settings is not None and number in self._graphs:
                self._sound(await loader.examine(settings, stored, number), settings)
        except FaultyConfig as error:
            self._config_faults(number, error.source, error.faults, error.message)
        except LoadFailed as error:
            self._fault(number, error.message, Code.TRIAL)
        finally:
            await loader.release(stored)

    async def _stored_version(self, number: int, directory: Path, settings: ModelSettings | None) -> None:
        """Look at the graph. Raises FaultyConfig for what it and the config disagree on."""
        loaded = settings.loaded if settings is not None else self._readable()
        try:
            path = graph_file(directory, loaded)
        except LoadFailed as error:
            self._fault(number, error.message, Code.NO_FILE)
            return
        session = SessionConfig() if settings is None else settings.config.session_config()
        try:
            self._graphs[number] = await self._bench.trials.inspect(path, session, self._bench.threads)
        except LoadFailed as error:
            self._fault(number, error.message, Code.GRAPH)

    def _readable(self) -> LoadedConfig:
        """As much of the config as can be read."""
        return LoadedConfig(readable_config(self._data or b""))

    def _fault(self, version: int | None, message: str, code: Code) -> None:
        text = self._located(message)
        self.findings.append(Finding(code, text, self._files.name, version))
        self.verdicts.append(Verdict(self._files.name, version, text, (code,)))

    def _config_faults(self, version: int | None, source: str, faults: Iterable[Fault], message: str) -> None:
        found = [self._finding(version, source, fault) for fault in faults]
        self.findings += [each for each in found if each not in self.findings]
        codes = tuple(each.code for each in found)
        self.verdicts.append(Verdict(self._files.name, version, self._located(message), codes))

    def _finding(self, version: int | None, source: str, fault: Fault) -> Finding:
        mend = None
        if source == CONFIG_FILE and self._data is not None and fault.mend:
            text = self._data.decode("utf-8-sig", "replace")
            mended = mended_alone(text, fault)
            mend = None if mended is None else changed_lines(text, mended)
        file = str(self._files.path / source) if source else ""
        position = fault.position if file else None
        return Finding(
            code=fault.code,
            message=fault.text,
            model=self._files.name,
            version=version,
            file=file,
            line=position.line if position else 0,
            column=position.column if position else 0,
            key=path_text(fault.loc),
            graph=fault.graph,
            mend=mend,
        )

    def _notes(self, warnings: Iterable[str]) -> None:
        for warning in warnings:
            self.warnings.append(self._located(warning))
            self.findings.append(Finding(Code.WITHOUT_EFFECT, self.warnings[-1], self._files.name))

    def _sound(self, examined: Examined, settings: ModelSettings) -> None:
        spec, report = examined.spec, examined.report
        self._notes(f"model '{spec.name}': {warning}" for warning in examined.warnings)
        self.verdicts.append(
            Verdict(
                spec.name,
                spec.version,
                takes=_tensors(spec, spec.inputs),
                gives=_tensors(spec, spec.outputs),
                providers=report.providers,
                run_s=max(report.run_times_s, default=None),
                peak_bytes=report.peak_bytes,
                chosen=spec.version in settings.config.versions.select(self._files.versions),
                max_batch_size=spec.max_batch_size,
                rows=examined.rows,
                isolation=examined.isolation.reason,
            )
        )

    def _located(self, text: str) -> str:
        """A text with the config's path from here, so that editors and terminals can open it."""
        return _IN_CONFIG.sub(lambda match: str(self._files.path / match[0]), text)


def _tensors(spec: ModelSpec, tensors: Sequence[TensorSpec]) -> str:
    shapes = ((tensor, ",".join(map(str, spec.wire_shape(tensor)))) for tensor in tensors)
    return ", ".join(f"{tensor.name} {tensor.datatype.value} [{shape}]" for tensor, shape in shapes)
