"""The command `python -m sim_core`."""

import os

from sim_core.cli.main import cli


def main() -> None:
    """Exits with 0, 1 for a failure, 2 for a mistake in the usage."""
    # gRPC's own lines on standard error are for its developers: what goes wrong is told by us.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    cli(prog_name="python -m sim_core")


if __name__ == "__main__":
    main()
