"""One model for each field of Triton's ModelConfig."""

from typing import Final

from tests.contract.pbtxt import (
    cases_model,
    cases_placement,
    cases_ragged,
    cases_scheduling,
    cases_session,
    cases_tensors,
)
from tests.contract.pbtxt.case import Case

CASES: Final[tuple[Case, ...]] = (
    *cases_model.CASES,
    *cases_tensors.CASES,
    *cases_ragged.CASES,
    *cases_scheduling.CASES,
    *cases_placement.CASES,
    *cases_session.CASES,
)
