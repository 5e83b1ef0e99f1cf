"""The `onnxd` command."""

import os
from collections.abc import Mapping
from typing import Final

from onnxd.cli.main import cli

_LIBRARIES: Final[Mapping[str, str]] = {
    # ONNX Runtime's Linux wheel reports home otherwise.
    "ORT_DISABLE_TELEMETRY": "1",
    # gRPC's own lines on standard error are for its developers: what goes wrong is told by us. No process of
    # ours forks and goes on to use gRPC, so its fork handlers would only complain.
    "GRPC_VERBOSITY": "NONE",
    "GRPC_ENABLE_FORK_SUPPORT": "0",
}


def main() -> None:
    """Runs the command line and exits with its code: 0, 1 for a failure, 2 for a mistake in the usage."""
    # Read by libraries when they are imported, which each command does for itself. An operator who sets
    # them decides otherwise.
    for name, value in _LIBRARIES.items():
        os.environ.setdefault(name, value)
    cli(prog_name="onnxd")


if __name__ == "__main__":
    main()
