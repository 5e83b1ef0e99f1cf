"""A parsed document -> a frozen dataclass, or every fault in it with its line and column.

pydantic checks and converts; what was expected is then told from the JSON Schema of the type, so that the
message, the schema that editors use, and the documentation cannot say different things.
"""

import copy
import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from onnxd.repository.document import Document, Fault, Loc, shown
from onnxd.repository.fault_codes import Code
from onnxd.repository.mends import Mend, Quote, Rename, Replace, meant

T = TypeVar("T")

_MAX_COMPARED: Final = 64
"""Characters of a misspelt word that are worth comparing: difflib's time grows with their square."""
_UNKNOWN_KEY: Final = frozenset({"unexpected_keyword_argument", "extra_forbidden"})
_MISSING_KEY: Final = frozenset({"missing", "missing_argument"})


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """What could be made of a document."""

    value: T | None
    """The whole when there are no faults; else what is left without the faulty keys, None if nothing is."""
    faults: tuple[Fault, ...]
    dropped: frozenset[Loc] = frozenset()
    """The keys left out of `value` because of their faults."""


class _PlainSchema(GenerateJsonSchema):
    """Without titles that repeat the names, and without null: a key that has no value is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class DocumentType(Generic[T]):
    """A dataclass that documents are decoded to, with its schema."""

    def __init__(self, type_: type[T]) -> None:
        """`type_` must forbid extra keys and be strict (its pydantic config)."""
        self._adapter = TypeAdapter(type_)
        self._schema = self._adapter.json_schema(schema_generator=_PlainSchema)

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON Schema of a document, as pydantic tells it; descriptions are the fields' docstrings."""
        return self._schema

    def decode(self, document: Document) -> Decoded[T]:
        """Never raises: faults are returned, the document's own among them.

        A document may be decoded in part, so that rules between keys can be checked as well before the
        author sees the list of what to mend.
        """
        plain = {} if document.value is None else document.value
        value, errors = self._validate(plain)
        faults = list(self._faults(document, errors))
        faults += self._bare_numbers(document, frozenset(fault.loc for fault in faults))
        unknown = {tuple(error["loc"]) for error in errors if error["type"] in _UNKNOWN_KEY}
        faults += [fault for fault in document.faults if not within(fault.loc, unknown)]
        if not faults:
            return Decoded(value, ())
        dropped = {_key_of(fault.loc) for fault in faults} | {
            _key_of(tuple(error["loc"][:-1])) for error in errors if error["type"] in _MISSING_KEY
        }
        rest, _ = self._validate(_without(plain, dropped)) if () not in dropped else (None, [])
        return Decoded(rest, tuple(faults), frozenset(dropped))

    def _validate(self, plain: Any) -> tuple[T | None, list[Any]]:
        # In pydantic's JSON mode, strict types still take lists for tuples and mappings for dataclasses.
        try:
            return self._adapter.validate_json(json.dumps(plain)), []
        except ValidationError as error:
            return None, list(error.errors(include_url=False, include_input=False))

    def _faults(self, document: Document, errors: list[Any]) -> Iterator[Fault]:
        opaque = {loc[:length] for loc in document.opaque for length in range(len(loc) + 1)}
        for error in errors:
            loc: Loc = tuple(error["loc"])
            if loc[-1:] == ("[key]",):
                text = str(error.get("ctx", {}).get("error", error["msg"]))
                yield document.fault(loc[:-1], text, Code.UNKNOWN_KEY, self._renamed(loc[:-1]), key=True)
            elif error["type"] in _UNKNOWN_KEY:
                text = self._unknown_key(loc)
                yield document.fault(loc, text, Code.UNKNOWN_KEY, self._renamed(loc, document), key=True)
            elif error["type"] in _MISSING_KEY:
                yield document.fault(loc, "this key is missing", Code.MISSING_KEY)
            elif loc in opaque:
                continue
            elif error["type"] == "too_short" and any(_is_inside(other["loc"], loc) for other in errors):
                continue  # pydantic counts the valid items only
            elif error["type"] == "value_error":
                yield document.fault(loc, str(error["ctx"]["error"]))
            else:
                yield self._wrong_value(document, loc)

    def _bare_numbers(self, document: Document, known: frozenset[Loc]) -> Iterator[Fault]:
        """A number such as 0.5 where a text with a unit belongs: 0.5 of what?

        The types let such floats pass, as defaults given in code are already in the base unit.
        """
        for loc in document.nodes:
            if loc not in known and isinstance(_value_at(document.value, loc), float):
                schema = self.schema_at(loc)
                if schema is not None and schema.get("type") == "string":
                    yield self._wrong_value(document, loc)

    def _unknown_key(self, loc: Loc) -> str:
        parent = self.schema_at(loc[:-1]) or {}
        names = list(parent.get("properties", ()))
        if nearest := suggestion(str(loc[-1]), names):
            return f"unknown key; did you mean {nearest}?"
        return f"unknown key; the keys here are {', '.join(names)}"

    def _renamed(self, loc: Loc, document: Document | None = None) -> Mend:
        """The right name for a misspelt key, unless that is there too."""
        parent = self.schema_at(loc[:-1]) or {}
        known = parent.get("properties") or parent.get("propertyNames", {}).get("enum", ())
        near = meant(str(loc[-1]), known)
        taken = document is not None and near is not None and (*loc[:-1], near) in document.nodes
        return (Rename(loc, near),) if near is not None and not taken else ()

    def _wrong_value(self, document: Document, loc: Loc) -> Fault:
        schema = self.schema_at(loc) or {}
        value = _value_at(document.value, loc)
        text = self._expected_got(document, loc)
        if schema.get("type") == "string" and isinstance(value, bool | int | float):
            plain = not {"examples", "enum"} & schema.keys()
            return document.fault(loc, text, Code.UNQUOTED, (Quote(loc),) if plain else ())
        near = meant(value, map(str, schema.get("enum", ()))) if isinstance(value, str) else None
        return document.fault(loc, text, Code.VALUE, (Replace(loc, near),) if near else ())

    def _expected_got(self, document: Document, loc: Loc) -> str:
        schema = self.schema_at(loc) or {}
        value = _value_at(document.value, loc)
        number = schema.get("type") == "string" and isinstance(value, bool | int | float)
        if number:  # that it is no text matters more than how long the text may be
            schema = {key: schema[key] for key in ("type", "examples", "enum") if key in schema}
        text = f"expected {self._expected(schema)}, got {_got(document, loc, value)}"
        if number and schema.keys() == {"type"}:
            text += "; put it in quotes"
        elif isinstance(value, str) and (nearest := suggestion(value, schema.get("enum", ()))):
            text += f"; did you mean {nearest}?"
        return text

    def _expected(self, schema: Mapping[str, Any]) -> str:
        schema = self._resolved(schema)
        if "enum" in schema:
            return f"one of {', '.join(map(str, schema['enum']))}"
        if "anyOf" in schema:
            return " or ".join(self._expected(item) for item in schema["anyOf"])
        kind = schema.get("type")
        if kind in ("integer", "number"):
            return ("an integer" if kind == "integer" else "a number") + _bounds(schema)
        if kind == "array":
            return f"a list{_length(schema)}"
        if kind == "string" and "examples" in schema:
            return f"text such as '{schema['examples'][0]}'"
        if kind == "string" and schema.get("minLength"):
            return "text that is not empty"
        if kind == "object" and "maxProperties" in schema:
            return f"a mapping of at most {schema['maxProperties']} keys"
        return {"string": "text", "boolean": "true or false", "object": "a mapping"}.get(
            str(kind), "another value"
        )

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._schema["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        return schema

    def schema_at(self, loc: Loc) -> Mapping[str, Any] | None:
        """The schema of a place; None for one that a document cannot have."""
        schema: Mapping[str, Any] = self._schema
        for part in loc:
            schema = self._resolved(schema)
            if isinstance(part, int):
                below = schema.get("items")
            else:
                below = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
            if not isinstance(below, dict):
                return None
            schema = below
        return self._resolved(schema)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was most likely meant to be."""
    if len(word) > _MAX_COMPARED:
        return None
    by_lower = {name.lower(): name for name in known}
    matches = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.7)
    return by_lower[matches[0]] if matches else None


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if above is not None:
        return f" above {above}" + (f" and of at most {high}" if high is not None else "")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if low is not None:
        return f" of at least {low}"
    return f" of at most {high}" if high is not None else ""


def _length(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    if high is not None:
        return f" of {low} to {high} items"
    return f" of at least {low} items" if low else ""


def _got(document: Document, loc: Loc, value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case dict():
            return f"a mapping of {len(value)}"
        case list():
            return f"a list of {len(value)}"
        case str():
            return f"'{shown(value)}'"
    written = document.nodes[loc].text
    if isinstance(value, bool) and written.lower() not in ("true", "false"):
        return f"{written}, which YAML reads as {str(value).lower()}"
    return written


def _value_at(value: Any, loc: Loc) -> Any:
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def within(loc: Loc, others: Set[Loc]) -> bool:
    """Whether a place is one of the others, or inside one."""
    return any(loc[:length] in others for length in range(len(loc) + 1))


def _is_inside(loc: Loc, outer: Loc) -> bool:
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _key_of(loc: Loc) -> Loc:
    """The nearest key at or around a place: list items cannot be left out without moving the others."""
    while loc and isinstance(loc[-1], int):
        loc = loc[:-1]
    return loc


def _without(value: Any, dropped: set[Loc]) -> Any:
    value = copy.deepcopy(value)
    for loc in dropped:
        parent = _value_at(value, loc[:-1])
        if isinstance(parent, dict):
            parent.pop(loc[-1], None)
    return value
