"""Changes at places of a YAML text that leave every other character as it is.

Comments, order, quotes and line ends are somebody's work, and a parser does not keep them: so nothing is
written out anew, only the characters of a key, a value or an entry are replaced. What cannot be replaced
without touching a comment is not touched at all.
"""

import itertools
import json
import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

from onnxd.repository.document import Loc
from onnxd.repository.mends import Edit, Mend, Quote, Remove, Rename, Replace

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_DASHES: Final = re.compile(r"[ \t]*(- *)*")


class CannotEditError(Exception):
    """The text has no such place, or not one that can be changed without loss."""


@dataclass(frozen=True, slots=True)
class _Splice:
    """Characters to be replaced."""

    start: int
    end: int
    text: str


def edited(text: str, mend: Mend) -> str:
    """The text with all of these changes. Raises CannotEditError.

    `text` is a document that yaml_document reads, without a byte order mark.
    """
    root = _composed(text)
    splices = sorted((_splice(text, root, edit) for edit in mend), key=lambda splice: splice.start)
    for splice in reversed(splices):
        text = text[: splice.start] + splice.text + text[splice.end :]
    if any(after.start < before.end for before, after in itertools.pairwise(splices)):
        raise CannotEditError
    return text


def _composed(text: str) -> Any:
    """The nodes of a text. Not with aliases: those have the place of what they stand for."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
            raise CannotEditError
        return yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise CannotEditError from error


def changed_lines(before: str, after: str) -> str:
    """The lines of `after` that `before` does not have; empty if lines were only left out."""
    old, new = before.splitlines(), after.splitlines()
    first = 0
    while first < min(len(old), len(new)) and old[first] == new[first]:
        first += 1
    last = 0
    while last < min(len(old), len(new)) - first and old[-1 - last] == new[-1 - last]:
        last += 1
    return "\n".join(new[first : len(new) - last])


def _splice(text: str, root: Any, edit: Edit) -> _Splice:
    match edit:
        case Rename():
            key, _ = _entry(_inside(root, edit.loc), edit.loc[-1])
            return _Splice(_start(key), _end(key), _word(edit.key))
        case Replace():
            return _replaced(text, root, edit)
        case Quote():
            node = _at(root, edit.loc)
            if not isinstance(node, yaml.ScalarNode) or node.style:
                raise CannotEditError
            return _Splice(_start(node), _end(node), json.dumps(node.value, ensure_ascii=False))
        case Remove():
            return _removed(text, root, edit.loc)


def _replaced(text: str, root: Any, edit: Replace) -> _Splice:
    parent = _inside(root, edit.loc)
    if isinstance(parent, yaml.MappingNode):
        key, node = _entry(parent, edit.loc[-1])
    else:
        key, node = None, _at(root, edit.loc)
    start, end = _start(node), _last(node)
    if isinstance(node, yaml.ScalarNode):
        if node.style in ("|", ">"):
            raise CannotEditError
        if node.style and isinstance(edit.value, str):
            quoted = json.dumps(edit.value, ensure_ascii=False)
            return _Splice(start, end, quoted if node.style == '"' else f"'{edit.value}'")
        return _Splice(start, end, _written(edit.value))
    _refuse_comments(text[start:end])
    if node.flow_style or key is None:
        return _Splice(start, end, _written(edit.value))
    # The lines of a block go; the value comes to stand behind the key.
    between = text[_end(key) : start]
    _refuse_comments(between)
    colon = _end(key) + between.index(":") + 1
    return _Splice(colon, end, f" {_written(edit.value)}")


def _removed(text: str, root: Any, loc: Loc) -> _Splice:
    parent = _inside(root, loc)
    entries = _entries(parent)
    index = next(at for at, (name, *_) in enumerate(entries) if name == loc[-1])
    _, start, end = entries[index]
    if parent.flow_style:
        if index + 1 < len(entries):
            end = entries[index + 1][1]
        elif index:
            start = entries[index - 1][2]
        _refuse_comments(text[start:end])
        return _Splice(start, end, "")
    if len(entries) == 1 and len(loc) > 1:
        if isinstance(loc[-2], int) or isinstance(parent, yaml.SequenceNode):
            raise CannotEditError  # an item without anything in it is another fault
        return _removed(text, root, loc[:-1])
    line = text.rfind("\n", 0, start) + 1
    before = text[line:start]
    alone = _DASHES if isinstance(parent, yaml.SequenceNode) else re.compile(r"[ \t]*")
    if alone.fullmatch(before) is None or before.count("-") > isinstance(parent, yaml.SequenceNode):
        raise CannotEditError  # something else begins on the same line
    rest = text.find("\n", end)
    behind = text[end:] if rest < 0 else text[end:rest]
    if behind.strip() and not behind.strip().startswith("#"):
        raise CannotEditError
    _refuse_comments(text[start:end] + behind)
    return _Splice(line, len(text) if rest < 0 else rest + 1, "")


def _entries(parent: Any) -> list[tuple[str | int, int, int]]:
    """What a mapping or a list holds: name, first character, and the one behind the last."""
    if isinstance(parent, yaml.MappingNode):
        return [(key.value, _start(key), _last(value)) for key, value in parent.value]
    return [(at, _start(item), _last(item)) for at, item in enumerate(parent.value)]


def _refuse_comments(text: str) -> None:
    """A `#` in a text would do as well; then the change is left to its author."""
    if "#" in text:
        raise CannotEditError


def _inside(root: Any, loc: Loc) -> Any:
    node = _at(root, loc[:-1])
    if not isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        raise CannotEditError
    return node


def _at(root: Any, loc: Loc) -> Any:
    node = root
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            _, node = _entry(node, part)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
        else:
            raise CannotEditError
    return node


def _entry(mapping: Any, name: str | int) -> tuple[Any, Any]:
    found = [(key, value) for key, value in mapping.value if key.value == name]
    if not isinstance(mapping, yaml.MappingNode) or len(found) != 1:
        raise CannotEditError
    return found[0]


def _start(node: Any) -> int:
    return int(node.start_mark.index)


def _end(node: Any) -> int:
    return int(node.end_mark.index)


def _last(node: Any) -> int:
    """Behind a value's last character: the parser's mark of a block's end is where the next thing begins."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style or not node.value:
        if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
            raise CannotEditError
        return _end(node)
    last = node.value[-1]
    return _last(last[1] if isinstance(node, yaml.MappingNode) else last)


def _written(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _word(value)
        case list():
            return f"[{', '.join(map(_written, value))}]"
    return str(value)


def _word(text: str) -> str:
    """Text without quotes where it is read as the same text."""
    if _PLAIN.fullmatch(text) and yaml.load(text, Loader=yaml.CSafeLoader) == text:
        return text
    return json.dumps(text, ensure_ascii=False)
