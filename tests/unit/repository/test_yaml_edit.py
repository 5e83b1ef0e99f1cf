"""Changes at places of a YAML text: what changes, what stays, and what is left alone."""

import pytest
import yaml

from onnxd.repository.mends import Edit, Quote, Remove, Rename, Replace
from onnxd.repository.yaml_edit import CannotEditError, changed_lines, edited


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        pytest.param("a: 1  # one\nb: 2\n", Rename(("a",), "z"), "z: 1  # one\nb: 2\n", id="a key"),
        pytest.param("{a: 1, b: 2}\n", Rename(("b",), "z"), "{a: 1, z: 2}\n", id="a key in braces"),
        pytest.param("'a b': 1\n", Rename(("a b",), "z"), "z: 1\n", id="a quoted key"),
        pytest.param("x:\n  - a: 1\n", Rename(("x", 0, "a"), "z"), "x:\n  - z: 1\n", id="a key in a list"),
        pytest.param("a: b # c\n", Replace(("a",), "d"), "a: d # c\n", id="a value"),
        pytest.param("a: 'b'\n", Replace(("a",), "d"), "a: 'd'\n", id="a value in quotes"),
        pytest.param('a: "b"\n', Replace(("a",), "d"), 'a: "d"\n', id="a value in double quotes"),
        pytest.param("a: b\n", Replace(("a",), "no"), 'a: "no"\n', id="a value that needs quotes"),
        pytest.param("a: b\n", Replace(("a",), True), "a: true\n", id="a truth value"),
        pytest.param("a: [1, 2]\n", Replace(("a", 1), 7), "a: [1, 7]\n", id="an item"),
        pytest.param("a:\n- 1\n- 2 # c\n", Replace(("a", 1), 7), "a:\n- 1\n- 7 # c\n", id="an item's line"),
        pytest.param("a: [1,\n 2]\nb: 1\n", Replace(("a",), [3]), "a: [3]\nb: 1\n", id="a list"),
        pytest.param(
            "a:\n  - 1\n  - 2\n\n# b's\nb: 1\n", Replace(("a",), [3]), "a: [3]\n\n# b's\nb: 1\n", id="a block"
        ),
        pytest.param("a:\n- 1\n- 2", Replace(("a",), [3, -1]), "a: [3, -1]", id="a block at the end"),
        pytest.param("a: 1.10 # c\n", Quote(("a",)), 'a: "1.10" # c\n', id="quotes"),
        pytest.param("a: 1\nb: 2\n\nc: 3\n", Remove(("b",)), "a: 1\n\nc: 3\n", id="a line"),
        pytest.param("a: 1\nb: 2", Remove(("b",)), "a: 1\n", id="the last line"),
        pytest.param("a: 1\n", Remove(("a",)), "", id="the only line"),
        pytest.param("a:\n  b: 1\nc: 2\n", Remove(("a", "b")), "c: 2\n", id="the only key of a section"),
        pytest.param("a:\n  b:\n    - 1\n  d: 2\n", Remove(("a", "b")), "a:\n  d: 2\n", id="a block's lines"),
        pytest.param("{a: 1, b: 2, c: 3}", Remove(("a",)), "{b: 2, c: 3}", id="the first in braces"),
        pytest.param("{a: 1, b: 2, c: 3}", Remove(("b",)), "{a: 1, c: 3}", id="the middle one in braces"),
        pytest.param("{a: 1, b: 2, c: 3}", Remove(("c",)), "{a: 1, b: 2}", id="the last in braces"),
        pytest.param("{a: [5]}", Remove(("a", 0)), "{a: []}", id="the only one in brackets"),
        pytest.param("a: [-1, 64]\n", Remove(("a", 0)), "a: [64]\n", id="an item in brackets"),
        pytest.param("a:\n  - x\n  - y\n", Remove(("a", 0)), "a:\n  - y\n", id="an item's whole line"),
        pytest.param(
            "ä: 1\n€: 😀\nb: x\n", Replace(("b",), "y"), "ä: 1\n€: 😀\nb: y\n", id="wide characters"
        ),
        pytest.param("a: 1\r\nb: x\r\n", Replace(("b",), "y"), "a: 1\r\nb: y\r\n", id="lines of Windows"),
        pytest.param("# top\n---\na: x\n...\n", Replace(("a",), "y"), "# top\n---\na: y\n...\n", id="marks"),
    ],
)
def test_only_the_place_changes(before: str, edit: Edit, after: str) -> None:
    assert edited(before, (edit,)) == after
    yaml.safe_load(after)


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        pytest.param("a: 1\n", Rename(("b",), "z"), id="no such key"),
        pytest.param("a: 1\n", Replace(("a", 0), 5), id="no such item"),
        pytest.param("a: [1]\n", Replace(("a", 5), 5), id="an item too far"),
        pytest.param("a: 1\na: 2\n", Replace(("a",), 5), id="a key that is there twice"),
        pytest.param("a:\n  - 1 # one\n  - 2\n", Replace(("a",), [3]), id="a comment in the list"),
        pytest.param("a: # all\n  - 1\n", Replace(("a",), [3]), id="a comment before the list"),
        pytest.param("a: [1, # one\n 2]\n", Remove(("a", 0)), id="a comment in brackets"),
        pytest.param("a: 1 # why\nb: 2\n", Remove(("a",)), id="a comment behind the line"),
        pytest.param("x:\n  - a: 1\n    b: 2\n", Remove(("x", 0, "a")), id="a line that begins an item"),
        pytest.param("x:\n  - a: 1\n", Remove(("x", 0, "a")), id="the only key of an item"),
        pytest.param("x:\n- - 1\n  - 2\n", Remove(("x", 0, 0)), id="an item in an item's line"),
        pytest.param("a: |\n  text\n", Replace(("a",), "x"), id="a text of lines"),
        pytest.param("a: '1'\n", Quote(("a",)), id="quotes that are there"),
        pytest.param("a: [1]\n", Quote(("a",)), id="quotes around a list"),
        pytest.param("a: &x 1\nb: *x\n", Replace(("b",), 2), id="an alias"),
        pytest.param("a: &x\n- *x\nb: 1\n", Remove(("a",)), id="a list in itself"),
        pytest.param("a: *x\nb: 1\n", Rename(("b",), "c"), id="an alias of nothing"),
        pytest.param("a: [\n", Rename(("a",), "c"), id="no YAML"),
        pytest.param("", Rename(("a",), "c"), id="nothing"),
    ],
)
def test_what_cannot_be_changed_without_loss_is_not(text: str, edit: Edit) -> None:
    with pytest.raises(CannotEditError):
        edited(text, (edit,))


def test_changes_of_one_mend_are_made_together() -> None:
    mend = (Replace(("a", 0), 5), Rename(("b",), "c"), Replace(("a", 1), 6))
    assert edited("a: [1, 2]\nb: 3\n", mend) == "a: [5, 6]\nc: 3\n"


def test_changes_of_the_same_characters_are_refused() -> None:
    with pytest.raises(CannotEditError):
        edited("a: [1, 2]\n", (Replace(("a",), [3]), Replace(("a", 0), 5)))


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [("a\nb\nc\n", "a\nx\nc\n", "x"), ("a\nb\n", "a\n", ""), ("a\n", "a\nb\n", "b"), ("a\n", "a\n", "")],
)
def test_the_changed_lines_are_those_that_are_new(before: str, after: str, lines: str) -> None:
    assert changed_lines(before, after) == lines
