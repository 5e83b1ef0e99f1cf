"""The server with a leak put into it, to prove that the check of memory would notice one.

Started like `python -m onnxd`. It keeps every session that it should let go of when a version is replaced.
"""

from typing import Any

from onnxd.__main__ import main
from onnxd.runtime.onnx_session import OnnxSession

_KEPT: list[Any] = []


def leak() -> None:
    """Let sessions be closed by name only."""
    close = OnnxSession.close

    def keep(self: OnnxSession) -> None:
        _KEPT.append(self._session)
        close(self)

    OnnxSession.close = keep  # type: ignore[method-assign]


if __name__ == "__main__":
    leak()
    main()
