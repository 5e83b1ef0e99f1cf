"""What else a trial looks into, once it has built a session and run it.

Each has a name, is asked in JSON and answers in JSON, and runs in the child process: it may crash, loop, or
take all memory, like any first run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from onnxd.runtime import independence
from onnxd.runtime.golden import GOLDEN, examine_golden
from onnxd.runtime.node_profile import PLACEMENT, examine_placement
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.padding_examination import examine_padding
from onnxd.runtime.risks import RISKS, examine_risks

Question = Mapping[str, Any]
Finding = dict[str, Any]
Examination = Callable[[OnnxSession, Path, Question], Finding]
"""Raises LoadFailed to refuse the model."""

INDEPENDENCE: Final = "independence"
"""Answers with a Verdict on a RowQuestion."""
EXAMINATIONS: Final[Mapping[str, Examination]] = {
    GOLDEN: examine_golden,
    "padding": examine_padding,
    PLACEMENT: examine_placement,
    INDEPENDENCE: independence.examine,
    RISKS: examine_risks,
}
SPARING: Final = frozenset({INDEPENDENCE, RISKS})
"""Examinations of what nobody asked for, which ONNX Runtime may well take: that one ends the child is a
finding, and no refusal."""
