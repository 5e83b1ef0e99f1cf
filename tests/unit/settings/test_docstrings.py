"""The docstrings under fields."""

from dataclasses import dataclass

from onnxd.settings.docstrings import class_doc, field_docs


@dataclass(frozen=True, slots=True)
class _Example:
    """What it is.

    More about it.
    """

    documented: int = 1
    """One line
    and another."""
    bare: int = 2
    last: str = "x"
    """The last."""

    def method(self) -> None:
        """Not a field's."""


def test_a_docstring_belongs_to_the_field_above_it() -> None:
    assert field_docs(_Example) == {"documented": "One line and another.", "last": "The last."}


def test_a_part_is_described_by_the_first_paragraph_of_its_class() -> None:
    assert class_doc(_Example) == "What it is."
