"""Examples in documentation: fenced blocks, what they do, and what they say comes out."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANYTHING: Final = re.escape("...")


@dataclass(frozen=True, slots=True)
class Example:
    """One command of a console block, or one Python block; `...` in `output` stands for anything."""

    language: str
    source: str
    output: str

    def matches(self, output: str) -> bool:
        """Whether what came out is what the page says."""
        pattern = re.escape(self.output.rstrip()).replace(_ANYTHING, ".*")
        return re.fullmatch(pattern, output.rstrip(), re.DOTALL) is not None


def examples(page: Path) -> Iterator[Example]:
    """The examples of a page, in order: `$ command` lines of console blocks with the lines below each, and
    python blocks with the text block that follows."""
    blocks = _FENCE.findall(page.read_text("utf-8"))
    for number, (language, body) in enumerate(blocks):
        if language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                yield Example("console", command, output)
        elif language == "python":
            follows = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
            yield Example("python", body, follows[1] if follows[0] == "text" else "...")
