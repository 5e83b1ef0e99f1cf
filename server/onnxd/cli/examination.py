"""Examines a repository as a server would before it serves it, with nothing served."""

import asyncio
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from onnxd.cli.check_report import CheckReport, Verdict
from onnxd.errors import LoadFailed
from onnxd.repository.layout import CONFIG_FILE, TRITON_CONFIG_FILE, ModelFiles, scan
from onnxd.repository.loader import Examined, Loader, ModelSettings
from onnxd.repository.store import SnapshotStore
from onnxd.runtime.threads import cpu_budget
from onnxd.runtime.trial import TrialLimits, TrialRoom
from onnxd.tensors import ModelSpec, TensorSpec

_IN_CONFIG = re.compile(
    rf"^({re.escape(CONFIG_FILE)}|{re.escape(TRITON_CONFIG_FILE)})(?=:\d+:\d+: | is not read)", re.MULTILINE
)


def examine_repository(roots: Sequence[Path], limits: TrialLimits) -> CheckReport:
    """A verdict on every version in these directories. Blocks while the trials run."""
    return asyncio.run(_examine(roots, limits))


async def _examine(roots: Sequence[Path], limits: TrialLimits) -> CheckReport:
    snapshot = scan(roots)
    verdicts: list[Verdict] = []
    warnings = list(snapshot.problems)
    # A store of its own: the server's state directory may be in use.
    with ExitStack() as resources:
        directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="onnxd-check-"))
        store = resources.enter_context(SnapshotStore(Path(directory)))
        async with TrialRoom(limits, parallel=1) as trials:
            loader = Loader(store, trials, threads=cpu_budget())
            for files in snapshot.models.values():
                verdicts += await _examine_model(loader, files, warnings)
    problems = [f"{root.path}: {root.fault}" for root in snapshot.roots.values() if root.fault]
    return CheckReport(tuple(verdicts), tuple(problems), tuple(warnings))


async def _examine_model(loader: Loader, files: ModelFiles, warnings: list[str]) -> list[Verdict]:
    if files.fault:
        return [Verdict(files.name, None, files.fault)]
    try:
        settings = await loader.read_settings(files)
    except LoadFailed as error:
        return [Verdict(files.name, None, _located(error.message, files))]
    warnings += (_located(warning, files) for warning in settings.warnings)
    try:
        return [
            await _examine_version(loader, files, settings, number, warnings) for number in files.versions
        ]
    finally:
        await loader.release(settings.stored)


async def _examine_version(
    loader: Loader, files: ModelFiles, settings: ModelSettings, number: int, warnings: list[str]
) -> Verdict:
    chosen = number in settings.config.versions.select(files.versions)
    try:
        stored = await loader.store_version(files, number)
        try:
            examined = await loader.examine(settings, stored, number)
        finally:
            await loader.release(stored)
    except LoadFailed as error:
        return Verdict(files.name, number, _located(error.message, files), chosen=chosen)
    warnings += (f"model '{files.name}': {warning}" for warning in examined.warnings)
    return _sound(examined, chosen)


def _sound(examined: Examined, chosen: bool) -> Verdict:
    spec, report = examined.spec, examined.report
    return Verdict(
        spec.name,
        spec.version,
        takes=_tensors(spec, spec.inputs),
        gives=_tensors(spec, spec.outputs),
        providers=report.providers,
        run_s=max(report.run_times_s, default=None),
        peak_bytes=report.peak_bytes,
        chosen=chosen,
    )


def _located(text: str, files: ModelFiles) -> str:
    """A fault or a warning with the config's path from here, so that editors and terminals can open it."""
    return _IN_CONFIG.sub(lambda match: str(files.path / match[0]), text)


def _tensors(spec: ModelSpec, tensors: Sequence[TensorSpec]) -> str:
    shapes = ((tensor, ",".join(map(str, spec.wire_shape(tensor)))) for tensor in tensors)
    return ", ".join(f"{tensor.name} {tensor.datatype.value} [{shape}]" for tensor, shape in shapes)
