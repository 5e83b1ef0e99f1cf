"""The table of fields, and the page that tells of it."""

import re
from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.repository.pbtxt.fields import FIELDS, Refused, Unused
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate

FAULTY = (
    "\ndynamic_batching { max_queue_delay_ms: 5 }\n",
    '\n\nsequence_batching { state { input_name: "a" } }\n',
)
"""What the messages on the page are about."""

PAGE = (Path(__file__).parents[4] / "docs" / "from-triton.md").read_text(encoding="utf-8")


def section(title: str) -> set[str]:
    """The fields that are named in the first column of a section's table."""
    text = PAGE.split(f"### {title}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([\w.]+)", row)}


def test_the_page_names_every_field_that_fails_the_load() -> None:
    assert {path for path, treatment in FIELDS.items() if isinstance(treatment, Refused)} <= section(
        "What fails the load"
    )


def test_the_page_names_every_field_that_has_no_effect() -> None:
    assert {path for path, treatment in FIELDS.items() if isinstance(treatment, Unused)} <= section(
        "What has no effect"
    )


def test_the_messages_on_the_page_are_real() -> None:
    for text in FAULTY:
        with pytest.raises(LoadFailed) as caught:
            translate(parse_text(text.encode(), "config.pbtxt"), "m", gpus=0)
        assert f"\n{caught.value.message}\n" in PAGE
