"""Renders deploy/kubernetes as `kubectl apply -k` would into deploy/kubernetes/rendered, to be read.

    python -m scripts.manifests            write
    python -m scripts.manifests --check    exit with 1 if a rendering is not up to date

It needs kubectl (in Debian: kubernetes-client), and no cluster.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

KUBERNETES: Final = Path(__file__).resolve().parents[1] / "deploy" / "kubernetes"
RENDERED: Final = KUBERNETES / "rendered"
OVERLAYS: Final = ("cpu", "gpu", "canary")
_DEADLINE_S: Final = 60


def render(overlay: str) -> str:
    """What an overlay comes to. Raises CalledProcessError."""
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    done = subprocess.run(  # noqa: S603 -- a directory of ours, and no shell
        command, capture_output=True, text=True, timeout=_DEADLINE_S, check=True
    )
    return done.stdout


def stale(*, write: bool) -> list[str]:
    """The overlays whose rendering is another; with `write` it is that of now when this returns."""
    others = []
    for overlay in OVERLAYS:
        path, text = RENDERED / f"{overlay}.yaml", render(overlay)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            others.append(overlay)
            if write:
                RENDERED.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    return others


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.manifests", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    others = stale(write=not check)
    if check and others:
        sys.stderr.write(f"not up to date: {', '.join(others)}; run python -m scripts.manifests\n")
    return int(check and bool(others))


if __name__ == "__main__":
    sys.exit(main())
