"""Examines a repository as a server would before it serves it, with nothing served."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from onnxd.cli.check_report import CheckReport, Finding
from onnxd.cli.model_examination import Bench, ModelExamination
from onnxd.repository.batching import BatchingConfig
from onnxd.repository.fault_codes import Code
from onnxd.repository.layout import scan
from onnxd.repository.loader import Loader, LoaderOptions
from onnxd.repository.store import SnapshotStore
from onnxd.runtime.process_room import ProcessRoom
from onnxd.runtime.thread_shares import ThreadBudget
from onnxd.runtime.threads import cpu_budget
from onnxd.runtime.trial import TrialLimits, TrialRoom


def examine_repository(
    roots: Sequence[Path], limits: TrialLimits, batching: BatchingConfig | None = None, single_model: str = ""
) -> CheckReport:
    """A verdict on every version in these directories. Blocks while the trials run.

    `single_model`: the name of the model that a directory is, where it is no repository of models.
    """
    return asyncio.run(_examine(roots, limits, batching, single_model))


async def _examine(
    roots: Sequence[Path], limits: TrialLimits, batching: BatchingConfig | None, single_model: str
) -> CheckReport:
    snapshot = scan(roots, single_model)
    examinations = []
    # A store of its own: the server's state directory may be in use.
    with ExitStack() as resources:
        directory = resources.enter_context(tempfile.TemporaryDirectory(prefix="onnxd-check-"))
        store = resources.enter_context(SnapshotStore(Path(directory)))
        async with TrialRoom(limits, parallel=1) as trials:
            threads = cpu_budget()
            # Nothing is loaded here, so the room for that stays shut.
            shut = ProcessRoom()
            loader = Loader(
                store,
                trials,
                shut,
                threads=ThreadBudget(threads),
                options=LoaderOptions(batching or BatchingConfig(), single_model=single_model),
            )
            bench = Bench(store, trials, loader, threads)
            for files in snapshot.models.values():
                examinations.append(ModelExamination(bench, files))
                await examinations[-1].run()
    problems = [f"{root.path}: {root.fault}" for root in snapshot.roots.values() if root.fault]
    findings = [Finding(Code.FILES, problem) for problem in problems]
    findings += [Finding(Code.IGNORED, problem) for problem in snapshot.problems]
    findings += [finding for each in examinations for finding in each.findings]
    return CheckReport(
        verdicts=tuple(verdict for each in examinations for verdict in each.verdicts),
        findings=tuple(findings),
        problems=tuple(problems),
        warnings=(*snapshot.problems, *(warning for each in examinations for warning in each.warnings)),
        faulty_files=tuple(each.faulty_file for each in examinations if each.faulty_file is not None),
    )
