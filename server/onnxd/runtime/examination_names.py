"""What the server knows of examinations: their names, and that questions and findings are JSON.

What they do is the child's (examinations.py); the server need not have it in memory.
"""

from collections.abc import Mapping
from typing import Any, Final

Question = Mapping[str, Any]
Finding = dict[str, Any]

INDEPENDENCE: Final = "independence"
"""Answers with a Verdict on a RowQuestion."""
RISKS: Final = "risks"
"""Answers with Risks."""
SPARING: Final = frozenset({INDEPENDENCE, RISKS})
"""Examinations of what nobody asked for, which ONNX Runtime may well take: that one ends the child is a
finding, and no refusal."""
