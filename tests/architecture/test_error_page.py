"""docs/faq.md has every kind of error, with its codes and with messages as the server writes them."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

import pytest

from onnxd import errors
from onnxd.errors import ServerError
from onnxd.grpc_frontend.errors import status_of as grpc_status_of
from onnxd.http_frontend.errors import status_of
from tests.architecture.sources import python_files
from tests.support.server import ROOT

PAGE: Final = (ROOT / "docs" / "faq.md").read_text("utf-8")
ENTRIES: Final = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
CLASSES: Final = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, ServerError)
}
MESSAGES: Final = [
    (name, line)
    for name, text in ENTRIES.items()
    for block in re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
_DIFFERS: Final = "\0"


def template(node: ast.AST, names: Mapping[str, str]) -> str:
    """The words of a text in the source, with a mark for what is put in. `names`: the module's constants."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue) and isinstance(node.value, ast.Name):
        return names.get(node.value.id, _DIFFERS)
    return _DIFFERS


def texts_of(tree: ast.Module) -> Iterator[str]:
    names = {
        statement.target.id: statement.value.value
        for statement in tree.body
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr):
            yield template(node, names)


@cache
def texts() -> str:
    """All texts in the server's source, one a line."""
    trees = [ast.parse(path.read_text("utf-8")) for path in python_files("server/onnxd")]
    lines = {text.replace("\n", " ") for tree in trees for text in texts_of(tree)}
    return "".join(f"{_DIFFERS}{line}{_DIFFERS}\n" for line in sorted(lines))


def is_written(message: str) -> bool:
    """Whether a text of the source says this; `...` stands for what is put in, or for words beside it."""
    parts = [re.escape(part) for part in message.split("...")]
    return re.search(f"[^\n]*{_DIFFERS}[^\n]*".join(parts), texts()) is not None


def test_every_kind_of_error_has_an_entry() -> None:
    assert ENTRIES.keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_an_entry_has_the_codes_of_both_protocols(name: str) -> None:
    error = CLASSES[name]("")
    codes = f"HTTP {status_of(error)}, gRPC `{grpc_status_of(error).name}`."
    assert ENTRIES[name].lstrip().startswith(codes)


@pytest.mark.parametrize("name", CLASSES)
def test_an_entry_shows_a_message(name: str) -> None:
    assert '{"error":"' in ENTRIES[name] or any(entry == name for entry, _ in MESSAGES)


@pytest.mark.parametrize(("name", "message"), MESSAGES)
def test_a_message_is_as_the_server_writes_it(name: str, message: str) -> None:
    assert is_written(message), f"{name}: no text in the server's source is {message!r}"
