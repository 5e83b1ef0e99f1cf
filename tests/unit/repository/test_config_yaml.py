"""What YAML offers and a config file may not use: rows I15 to I18 of the table of bad configs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import LoadFailed
from onnxd.repository.config_file import parse_model_config
from onnxd.repository.document import Document, Position, render
from onnxd.repository.yaml_document import MAX_BYTES, parse_document

ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [{','.join([f'*{chr(97 + level)}'] * 9)}]\n" for level in range(8)
)


def message_of(data: bytes | str) -> str:
    with pytest.raises(LoadFailed) as caught:
        parse_model_config(data.encode() if isinstance(data, str) else data)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("file: &x a\n", "config.yaml:1:7: file: anchors (&x) are not allowed", id="I15 anchor"),
        pytest.param("file: &x a\ndescription: *x\n", "2:14: description: aliases (*x) are", id="I15 alias"),
        pytest.param("*x : 1\n", "1:1: a key must be text, not an alias", id="I15 alias as a key"),
        pytest.param(
            "file: a\n\nfile: b\n", "3:1: file: given twice; first on line 1", id="I16 same key twice"
        ),
        pytest.param("inputs:\n- {name: x, name: y}\n", "2:13: inputs[0].name: given twice", id="I16 nested"),
        pytest.param("description: no\n", "1:14: description: expected text, got no", id="I17 no"),
        pytest.param("description: 1.10\n", "expected text, got 1.10; put it in quotes", id="I17 float"),
        pytest.param("instances: 012\n", "1:12: instances: YAML reads 012 as a number", id="I17 octal"),
        pytest.param("instances: 1:30\n", "YAML reads 1:30 as a number", id="I17 sexagesimal"),
        pytest.param("instances: 0x10\n", "YAML reads 0x10 as a number", id="I17 hexadecimal"),
        pytest.param("instances: .nan\n", "YAML reads .nan as a number", id="I17 not a number"),
        pytest.param("description: 2024-01-01\n", "YAML reads 2024-01-01 as a date", id="I17 date"),
        pytest.param("max_batch_size: 1e3\n", "got '1e3'", id="I17 exponent that YAML takes for text"),
        pytest.param("session: {no: 1}\n", "session.no: unknown key", id="I17 key that is no text"),
        pytest.param("providers:\n", "1:11: providers: has no value", id="key without a value"),
        pytest.param("max_batch_size: ~\n", "1:17: max_batch_size: has no value", id="null"),
        pytest.param("file: !!python/object:os.x a\n", "tags (!!python/object:os.x) are not", id="I18 tag"),
        pytest.param("file: !!binary aGk=\n", "tags (!!binary) are not allowed", id="I18 binary"),
        pytest.param("inputs: !!set {a}\n", "tags (!!set) are not allowed", id="I18 tagged mapping"),
        pytest.param("session:\n\tfile: 1\n", "2:1: a tab; YAML is indented with spaces only", id="I18 tab"),
        pytest.param("[" * 20_000, "1:33: nested more than 32 levels deep", id="I18 deep list"),
        pytest.param("{a: " * 20_000, "nested more than 32 levels deep", id="I18 deep mapping"),
        pytest.param("- " * 20_000, "nested more than 32 levels deep", id="I18 deep block"),
        pytest.param("<<: {file: x}\n", "<<: unknown key", id="merge key"),
        pytest.param("? [a]\n: 1\n", "1:3: a key must be text, not a list or a mapping", id="list as a key"),
        pytest.param("file: a\n---\nfile: b\n", "2:1: a second document begins here", id="two documents"),
        pytest.param("just text\n", "1:1: expected a mapping, got 'just text'", id="text"),
        pytest.param("- file\n", "1:1: expected a mapping, got a list of 1", id="list"),
        pytest.param("a: b: c\n", "1:5: not YAML: mapping values are not allowed", id="syntax"),
        pytest.param("file: 'x\n", "not YAML: found unexpected end of stream", id="open quote"),
        pytest.param("file: \x01\n", "1:7: control characters are not allowed", id="control character"),
        pytest.param(b"file: \xff\n", "1:7: not UTF-8 text", id="not UTF-8"),
        pytest.param("# é\nfile: \x00\n", "2:7: control characters", id="position counts characters"),
        pytest.param("x" * (MAX_BYTES + 1), "1:1: larger than 256 KiB", id="too large"),
        pytest.param(f"instances: {'9' * 5000}\n", "instances: YAML reads 99999", id="endless number"),
    ],
)
def test_a_form_that_a_config_may_not_use_is_refused_at_its_place(text: str | bytes, expected: str) -> None:
    assert expected in message_of(text)


def test_an_alias_bomb_is_refused_without_being_unfolded() -> None:
    document = parse_document(ALIAS_BOMB.encode(), "config.yaml")
    assert len(document.nodes) < 200
    assert "aliases (*a) are not allowed" in render("config.yaml", document.faults)


def test_what_was_found_before_the_reading_ends_is_reported_too() -> None:
    lines = message_of("file: a\nfile: b\nx: [\n").split("\n")
    assert "file: given twice" in lines[0]
    assert "not YAML" in lines[1]


def test_quotes_make_text_of_anything() -> None:
    for text in ("no", "1.10", "012", "2024-01-01", "~", "*x"):
        assert parse_model_config(f'description: "{text}"'.encode()).config.description == text


def test_plain_scalars_are_text_numbers_and_truth_values() -> None:
    document = parse_document(b"[a b, 10, -1, +3, 0, 1.5, yes, False, '']", "x.yaml")
    assert document.value == ["a b", 10, -1, 3, 0, 1.5, True, False, ""]
    assert not document.faults


def test_every_value_knows_the_place_of_its_key_and_its_own() -> None:
    document = parse_document(b"a:\n  b:\n    - c\n    - d: 1\n", "x.yaml")
    assert document.position(("a", "b"), key=True) == Position(2, 3)
    assert document.position(("a", "b", 1, "d")) == Position(4, 10)
    assert document.position(("a", "b", 1, "missing")) == Position(4, 7)


def test_a_document_without_text_begins_at_its_beginning() -> None:
    assert Document("x.yaml").position(("a",)) == Position(1, 1)


@given(st.one_of(st.binary(max_size=200), st.text("{}[]:,-#&*!|>'\"%@ \n\tab01.~?<", max_size=60)))
def test_any_bytes_are_a_config_or_a_failed_load(data: bytes | str) -> None:
    message = ""
    try:
        parse_model_config(data.encode() if isinstance(data, str) else data)
    except LoadFailed as error:
        message = error.message
    assert all(line.startswith("config.yaml:") for line in message.splitlines())
