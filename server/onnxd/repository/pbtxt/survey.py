"""Walks a message and says what becomes of each field that is set (fields.py): faults and warnings."""

from collections.abc import Iterator
from typing import Any

from onnxd.repository.document import Loc
from onnxd.repository.pbtxt.fields import FIELDS, Refused, Unused
from onnxd.repository.pbtxt.sheet import Sheet


def survey(sheet: Sheet) -> None:
    """Every field that is refused or unused, and every enumeration with a number that nobody knows."""
    _message(sheet, sheet.message, (), "")


def _message(sheet: Sheet, message: Any, loc: Loc, path: str) -> None:
    for field in message.DESCRIPTOR.fields:
        here, name = (*loc, field.name), f"{path}.{field.name}".removeprefix(".")
        if not _is_news(message, field, name):
            continue
        treatment = FIELDS.get(name)
        if isinstance(treatment, Unused):
            sheet.warn(here, f"has no effect: {treatment.why}")
        elif isinstance(treatment, Refused):
            sheet.fault(here, f"not supported: {treatment.why}")
            continue
        value = getattr(message, field.name)
        if field.enum_type is not None:
            _known(sheet, field.enum_type, value, here)
        for at, below in _messages(field, value, here):
            _message(sheet, below, at, name)


def _is_news(message: Any, field: Any, name: str) -> bool:
    """Whether the field says something: it is there, and not at its default."""
    if field.has_presence:
        return bool(message.HasField(field.name))
    treatment = FIELDS.get(name)
    if isinstance(treatment, Unused) and treatment.default:
        return not getattr(message, field.name)
    return bool(getattr(message, field.name))


def _messages(field: Any, value: Any, here: Loc) -> Iterator[tuple[Loc, Any]]:
    """The messages in a field, each with its place."""
    if field.message_type is None:
        return
    if field.message_type.GetOptions().map_entry:
        if field.message_type.fields_by_name["value"].message_type is not None:
            yield from (((*here, key), below) for key, below in value.items())
    elif field.is_repeated:
        yield from (((*here, index), below) for index, below in enumerate(value))
    else:
        yield here, value


def _known(sheet: Sheet, enum: Any, number: int, here: Loc) -> None:
    if number not in enum.values_by_number:
        known = ", ".join(enum.values_by_name)
        sheet.fault(here, f"{number} is no value that it may have; expected one of {known}")
