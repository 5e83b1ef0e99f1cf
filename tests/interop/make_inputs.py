"""Make the committed inputs again: `python -m tests.interop.make_inputs`.

Needs espeak-ng on PATH (1.51 made those that are committed); all else is in the development environment.
Other versions of espeak-ng or Pillow give other bytes and equally good inputs: references are computed, not
stored.
"""

from tests.interop.make_files import make_files
from tests.interop.make_images import make_images
from tests.interop.make_sounds import make_sounds
from tests.interop.preprocess import INPUTS


def main() -> None:
    for name, make in (("magika", make_files), ("silero-vad", make_sounds), ("rapidocr", make_images)):
        folder = INPUTS / name
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)


if __name__ == "__main__":
    main()
