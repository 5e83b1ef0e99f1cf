"""The docstrings under a dataclass's fields, which are its help."""

import ast
import inspect
import textwrap


def field_docs(cls: type) -> dict[str, str]:
    """Field name -> its docstring on one line. Fields without one are left out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    (definition,) = tree.body
    if not isinstance(definition, ast.ClassDef):
        raise TypeError(f"{cls.__qualname__} is not a class of its own")
    docs = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = " ".join(text.split())
    return docs


def class_doc(cls: type) -> str:
    """The first sentence of a class's docstring, on one line."""
    return " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())
