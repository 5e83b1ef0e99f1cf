"""Lists the tests that stand for rows of the tables: `python -m tests.contract.collected FOLDER...`.

A test stands for a row when its name, or the id of its case, starts with the row's: `C8-...`, `row-21-...`,
`test_A12_...`, `test_row_43_...`. One that is marked to be skipped, or to fail, stands for nothing.
"""

import re
import sys
from collections.abc import Iterator

import pytest

_ROW = re.compile(
    r"(?:^test_|\[(?:(?:HTTP|HTTP-aio|gRPC|native|grpcio)-)?)(?:([A-KSW]\d+)|row[-_](\d+))(?![A-Za-z0-9])"
)
_NOT_RUN = ("skip", "skipif", "xfail")


class Collector:
    """A plugin of pytest that keeps the names of the tests that will run."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.names += [
            item.name for item in items if not any(item.get_closest_marker(mark) for mark in _NOT_RUN)
        ]


def rows(names: list[str]) -> Iterator[str]:
    """The rows that these tests stand for: `C8`, or `21` of the protocol's table."""
    for name in names:
        # The name itself, and then the case's id, behind that of the wire if there is one: `[gRPC-C8-...]`.
        for letter, number in _ROW.findall(name):
            yield letter or number


def main(folders: list[str]) -> int:
    collector = Collector()
    code = pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", *folders], plugins=[collector])
    print("ROWS", *sorted(set(rows(collector.names))))  # noqa: T201 -- what it is for
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
