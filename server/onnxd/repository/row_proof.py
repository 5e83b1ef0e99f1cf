"""A version's trial, and whether its rows are independent: so whether, and how far, it batches.

max_batch_size stated     the model is tried as stated; what is found is a warning, or fails a strict load
not stated                it is tried as one that batches, and is one if its rows are proven independent;
                          else each request is run by itself
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from onnxd.errors import LoadFailed
from onnxd.repository.config import ModelConfig
from onnxd.repository.config_file import LoadedConfig, Problem
from onnxd.repository.fault_codes import Code
from onnxd.repository.model_spec import merge
from onnxd.repository.row_question import Unlike, ask_rows, check_first_dimensions
from onnxd.repository.warmup import UnfitSample, WarmupPlan, plan_warmup
from onnxd.runtime.examination_names import INDEPENDENCE, Question
from onnxd.runtime.graph import GraphSpec
from onnxd.runtime.row_inquiry import question_to_json
from onnxd.runtime.row_verdict import Outcome, Verdict, verdict_from_json
from onnxd.runtime.trial_messages import DIED, TrialReport
from onnxd.tensors import ModelSpec


@dataclass(frozen=True, slots=True)
class Draft:
    """What a version may become."""

    spec: ModelSpec
    plan: WarmupPlan
    """Without runs where they could only be guessed."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a version is."""

    spec: ModelSpec
    plan: WarmupPlan
    report: TrialReport
    rows: Verdict | None = None
    """None: nobody asked."""
    warnings: tuple[str, ...] = ()


class KnownVerdicts(Protocol):
    """What was found before. Its methods block on the disk."""

    def recall(self, digest: str, question: Question) -> Verdict | None: ...

    def remember(self, digest: str, question: Question, verdict: Verdict) -> None: ...


Rehearse = Callable[[Draft, Mapping[str, Question]], Awaitable[TrialReport]]
"""The trial of a draft, with examinations of its rows if they are asked for. Raises LoadFailed."""


def draft(
    name: str,
    number: int,
    loaded: LoadedConfig,
    graph: GraphSpec,
    labels: Mapping[str, tuple[str, ...]],
    proven_rows: int = 0,
) -> Draft:
    """`proven_rows` as in `merge`. Raises LoadFailed."""
    spec = merge(name, number, loaded, graph, labels, proven_rows=proven_rows)
    try:
        plan = plan_warmup(spec, loaded.config.warmup)
    except UnfitSample as unfit:
        raise loaded.failure([Problem(unfit.loc, unfit.text, Code.WARMUP)]) from unfit
    return Draft(spec, replace(plan, runs=(), counts=()) if plan.guessed else plan)


class RowProof:
    """The trial of one version. `run` it once."""

    def __init__(
        self,
        loaded: LoadedConfig,
        graph: GraphSpec,
        drafted: Callable[[int], Draft],
        rehearse: Rehearse,
        *,
        default_rows: int,
        known: KnownVerdicts,
        digest: str,
    ) -> None:
        """`drafted` makes a Draft of `proven_rows`. `default_rows`: what max_batch_size becomes where it is
        not stated. `digest`: of all that a verdict depends on, but for the question."""
        self._loaded = loaded
        self._graph = graph
        self._drafted = drafted
        self._rehearse = rehearse
        self._default_rows = default_rows
        self._known = known
        self._digest = digest

    async def run(self) -> Tried:
        """Raises LoadFailed."""
        config = self._loaded.config
        if config.max_batch_size is None and self._default_rows > 1 and _may_ask(config):
            return await self._unstated()
        stated = self._drafted(0)
        if stated.spec.max_batch_size > 1 and _may_ask(config):
            return await self._stated(stated)
        return Tried(stated.spec, stated.plan, await self._rehearse(stated, {}))

    async def _stated(self, stated: Draft) -> Tried:
        try:
            question = question_to_json(ask_rows(stated.spec, self._graph, assumed=False))
        except Unlike as unlike:
            report = await self._rehearse(stated, {})
            verdict = Verdict(Outcome.UNDECIDED, reason=str(unlike))
        else:
            known = await asyncio.to_thread(self._known.recall, self._digest, question)
            report, verdict = await self._examined(stated, question, known)
        warnings: tuple[str, ...] = ()
        if not verdict.proven:
            text = f"{verdict}; {_MEND}"
            if self._loaded.config.batching.verify == "strict":
                raise self._loaded.failure([Problem(("batching", "verify"), text, Code.ROWS)])
            warnings = (f"max_batch_size: {text}",)
        return Tried(stated.spec, stated.plan, report, verdict, warnings)

    async def _unstated(self) -> Tried:
        try:
            check_first_dimensions(self._loaded.config, self._graph)
            batched = self._batched()
            question = question_to_json(ask_rows(batched.spec, self._graph, assumed=True))
        except Unlike as unlike:
            return await self._alone(Verdict(Outcome.UNDECIDED, reason=str(unlike)))
        known = await asyncio.to_thread(self._known.recall, self._digest, question)
        if known and not known.proven:
            return await self._alone(known)
        try:
            report, verdict = await self._examined(batched, question, known)
        except LoadFailed as failure:
            reason = f"a batch cannot be run: {failure.message}"
            return await self._alone(Verdict(Outcome.UNDECIDED, reason=reason))
        if not verdict.proven:
            return await self._alone(verdict)
        return Tried(batched.spec, batched.plan, report, verdict)

    def _batched(self) -> Draft:
        try:
            return self._drafted(self._default_rows)
        except LoadFailed as misfit:
            self._drafted(
                0
            )  # a config that fits neither way is refused as one of a model that does not batch
            raise Unlike(f"its config is that of a model that does not batch: {misfit.message}") from misfit

    async def _alone(self, verdict: Verdict) -> Tried:
        alone = self._drafted(0)
        return Tried(alone.spec, alone.plan, await self._rehearse(alone, {}), verdict)

    async def _examined(
        self, draft: Draft, question: Question, known: Verdict | None
    ) -> tuple[TrialReport, Verdict]:
        """The trial's report, and the verdict: of old, or new."""
        report = await self._rehearse(draft, {} if known else {INDEPENDENCE: question})
        if known:
            return report, known
        verdict = _found(report)
        await asyncio.to_thread(self._known.remember, self._digest, question, verdict)
        return report, verdict


_MEND: Final = (
    "set max_batch_size: 0, or batching.dynamic: false where only a client's own rows may meet; where they "
    "are known to be independent, batching.verify: off silences this"
)


def _may_ask(config: ModelConfig) -> bool:
    """Not of what is no matter of rows: requests that never meet, or lie behind each other in one run."""
    ragged = bool(config.batch_inputs) or any(tensor.ragged for tensor in config.inputs)
    return config.batching.dynamic and config.batching.verify != "off" and not ragged


def _found(report: TrialReport) -> Verdict:
    finding = report.findings.get(INDEPENDENCE, {})
    if DIED in finding:
        return Verdict(Outcome.UNDECIDED, "probe", reason=f"the probe ended its process: {finding[DIED]}")
    try:
        return verdict_from_json(finding)
    except (KeyError, TypeError, ValueError):
        return Verdict(Outcome.UNDECIDED, "probe", reason="the probe gave an answer that cannot be read")
