"""docs/http2.md says what there is."""

import re
from dataclasses import fields
from typing import Final

import pytest

from onnxd.http2.config import Http2Config
from tests.support.server import ROOT

PAGE: Final = (ROOT / "docs/http2.md").read_text()


@pytest.mark.parametrize("bound", [field.name for field in fields(Http2Config)])
def test_every_bound_is_on_the_page(bound: str) -> None:
    assert f"`{bound}`" in PAGE


def test_every_test_on_the_page_is_there() -> None:
    file = ""
    missing = []
    for named, test in re.findall(r"`(test_\w+\.py)?(?:::)?(test_\w+)?`", PAGE):
        file = named or file
        source = (ROOT / "tests/unit/http2" / file).read_text() if named or test else ""
        if test and f"def {test}(" not in source:
            missing.append(f"{file}::{test}")
    assert missing == []


@pytest.mark.parametrize("file", re.findall(r"\b([a-z_]+\.py)\b(?=,| *$)", PAGE, re.MULTILINE))
def test_every_file_of_the_picture_is_there(file: str) -> None:
    assert (ROOT / "server/onnxd/http2" / file).is_file()
