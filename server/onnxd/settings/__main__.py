"""Writes config/server.yaml and docs/settings.md, or with --check says whether they are as they should be.

    python -m onnxd.settings [--check] [DIRECTORY]

DIRECTORY is the project's root; the working directory without one.
"""

import argparse
import sys
from pathlib import Path

from onnxd.settings.pages import server_yaml, settings_page


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m onnxd.settings", description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("directory", nargs="?", type=Path, default=Path())
    options = parser.parse_args()
    pages = {
        options.directory / "config" / "server.yaml": server_yaml(),
        options.directory / "docs" / "settings.md": settings_page(),
    }
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    if options.check:
        for path in stale:
            sys.stderr.write(f"{path} is not what the settings say; run: python -m onnxd.settings\n")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
