"""Every field of Triton's ModelConfig takes effect, is named in a warning, or fails the load."""

from collections.abc import Iterator
from typing import Any

import pytest

from onnxd.repository.pbtxt.fields import FIELDS, Refused, Unused
from onnxd_protos import model_config_pb2 as config_pb
from tests.contract.pbtxt.case import Case, Refuses, Takes, Warns
from tests.contract.pbtxt.cases import CASES
from tests.contract.pbtxt.conftest import Loaded, name_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = config_pb.ModelConfig.DESCRIPTOR


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_field(case: Case, loaded: Loaded) -> None:
    name = name_of(case)
    warnings = loaded.warnings.get(name, [])
    match case.outcome:
        case Refuses(text):
            assert text in loaded.reasons[name]
            assert loaded.running.server.inference.model_ready(name, None) is False
        case Warns(text):
            assert any(text in warning for warning in warnings), warnings
            assert (await loaded.seen(case)).spec.name == name
        case Takes(look, expected):
            assert look(await loaded.seen(case)) == expected
            assert warnings == []


def paths(descriptor: Any, above: str = "") -> Iterator[str]:
    """Every field, dotted; maps are as what they hold."""
    for field in descriptor.fields:
        path = f"{above}.{field.name}".removeprefix(".")
        yield path
        below = field.message_type
        if below is not None and below.GetOptions().map_entry:
            below = below.fields_by_name["value"].message_type
        if below is not None:
            yield from paths(below, path)


def leaves() -> Iterator[str]:
    every = list(paths(CONFIG))
    yield from (path for path in every if not any(other.startswith(f"{path}.") for other in every))


def settled_by(path: str) -> str:
    """The field itself, or the nearest around it of which a treatment says all."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        above = ".".join(parts[:length])
        if isinstance(FIELDS.get(above), Unused | Refused):
            return above
    return path


async def test_every_field_has_a_treatment_and_nothing_else_has() -> None:
    every = set(paths(CONFIG))
    assert FIELDS.keys() <= every
    for path in leaves():
        parts = path.split(".")
        around = {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        assert around & FIELDS.keys(), f"{path} has no treatment"


async def test_every_field_has_a_case() -> None:
    covered = {case.path for case in CASES}
    assert covered <= set(paths(CONFIG))
    missing = {settled_by(path) for path in leaves()} - covered
    assert not missing
    assert {path for path, treatment in FIELDS.items() if isinstance(treatment, Unused | Refused)} <= covered


async def test_refusals_and_warnings_of_the_table_are_what_the_cases_say() -> None:
    for path, treatment in FIELDS.items():
        outcomes = [case.outcome for case in CASES if case.path == path]
        if isinstance(treatment, Refused):
            assert any(isinstance(outcome, Refuses) for outcome in outcomes), path
        elif isinstance(treatment, Unused):
            assert any(isinstance(outcome, Warns) for outcome in outcomes), path


async def test_nothing_else_is_ready_or_not(loaded: Loaded) -> None:
    refused = {name_of(case) for case in CASES if isinstance(case.outcome, Refuses)}
    assert loaded.reasons.keys() == refused
