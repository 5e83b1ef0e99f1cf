"""What else a trial looks into, once it has built a session and run it.

Each has a name, is asked in JSON and answers in JSON, and runs in the child process: it may crash, loop, or
take all memory, like any first run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from onnxd.runtime import independence
from onnxd.runtime.examination_names import INDEPENDENCE, RISKS, Finding, Question
from onnxd.runtime.golden import GOLDEN, examine_golden
from onnxd.runtime.node_profile import PLACEMENT, examine_placement
from onnxd.runtime.onnx_session import OnnxSession
from onnxd.runtime.padding_examination import examine_padding
from onnxd.runtime.risks import examine_risks

Examination = Callable[[OnnxSession, Path, Question], Finding]
"""Raises LoadFailed to refuse the model."""

EXAMINATIONS: Final[Mapping[str, Examination]] = {
    GOLDEN: examine_golden,
    "padding": examine_padding,
    PLACEMENT: examine_placement,
    INDEPENDENCE: independence.examine,
    RISKS: examine_risks,
}
