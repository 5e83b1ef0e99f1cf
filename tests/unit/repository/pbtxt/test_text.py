"""config.pbtxt as text: what the parser takes, where its fields stand, and what it refuses with its place."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import LoadFailed
from onnxd.repository.document import Loc
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate
from onnxd.repository.yaml_document import MAX_BYTES
from onnxd_protos import model_config_pb2 as config_pb

EVERY_FORM = b"""# a comment { of no consequence
name: "m" 'ore' ; platform : "onnxruntime_onnx",
max_batch_size: 0x8
input [ { name: "a" dims: [ -1, 3 ] }, { name: 'b', dims: 3 dims: 4 } ]
input: < name: "c" >
parameters: { key: "intra" value: { string_value: "2" } }
parameters [ { value { string_value: "x" } key: "other" } ]
optimization { graph : { level : 1 } }
version_policy: { specific { versions: [1, # one
    2] } }"""


def message_of(data: bytes | str) -> str:
    with pytest.raises(LoadFailed) as caught:
        parse_text(data.encode() if isinstance(data, str) else data, "config.pbtxt")
    return caught.value.message


def refusal(data: bytes) -> str:
    """Why the config cannot be; empty if it can."""
    try:
        translate(parse_text(data, "config.pbtxt"), "m", gpus=0)
    except LoadFailed as error:
        return error.message
    return ""


@pytest.mark.parametrize(
    ("loc", "line", "rest"),
    [
        (("name",), 2, "\"m\" 'ore'"),
        (("platform",), 2, '"onnxruntime_onnx"'),
        (("max_batch_size",), 3, "0x8"),
        (("input",), 4, "input ["),
        (("input", 0), 4, '{ name: "a"'),
        (("input", 0, "name"), 4, '"a"'),
        (("input", 0, "dims", 1), 4, "3 ] }"),
        (("input", 1, "dims", 0), 4, "3 dims"),
        (("input", 1, "dims", 1), 4, "4 } ]"),
        (("input", 2, "name"), 5, '"c"'),
        (("parameters", "intra"), 6, '"2"'),
        (("parameters", "other"), 7, '"x"'),
        (("optimization", "graph", "level"), 8, "1 }"),
        (("version_policy", "specific", "versions", 1), 10, "2]"),
    ],
)
def test_each_field_has_its_place(loc: Loc, line: int, rest: str) -> None:
    place = parse_text(EVERY_FORM, "config.pbtxt").places[loc].value
    assert place.line == line
    assert EVERY_FORM.decode().split("\n")[line - 1][place.column - 1 :].startswith(rest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_batch: 8", "config.pbtxt:1:1: unknown field 'max_batch'; did you mean max_batch_size?"),
        ("\n\n  input { dimz: 1 }", "config.pbtxt:3:11: unknown field 'dimz'; did you mean dims?"),
        ("input { zzz: 1 }", "1:9: unknown field 'zzz'; expected one of name, data_type, format, dims"),
        ("[a.b]: 1", 'config.pbtxt:1:4: message type "ModelConfig" does not have extensions'),
        ("max_batch_size: many", "config.pbtxt:1:17: couldn't parse integer: many"),
        ("max_batch_size: 99999999999", "config.pbtxt:1:17: value out of range: 99999999999"),
        (f"max_batch_size: {'9' * 10_000}", "config.pbtxt:1:17: "),
        ("input { data_type: TYPE_FP23 }", "1:20: unknown value 'TYPE_FP23'; did you mean TYPE_FP32?"),
        ("input {", 'config.pbtxt:1:7: expected "}"'),
        ('name: "a', "config.pbtxt:1:7: string missing ending quote"),
        ('name: "a" name: "b"', '1:17: message type "ModelConfig" should not have multiple "name" fields'),
        (
            "dynamic_batching {} sequence_batching {}",
            '1:21: field "sequence_batching" is specified along with',
        ),
        ("name", 'config.pbtxt:1:5: expected ":"'),
        ("\x01", "config.pbtxt:1:1: expected identifier or number"),
        (b"name: '\xff'", "config.pbtxt:1:8: not UTF-8 text"),
        (r'name: "\xff"', "config.pbtxt:1:13: couldn't parse string"),
        ("{" * 50_000, "config.pbtxt:1:1: "),
        ("input {" * 20_000, "config.pbtxt:1:8: unknown field 'input'"),
        ("#" * MAX_BYTES + "\n", "config.pbtxt:1:1: larger than 256 KiB"),
    ],
)
def test_a_fault_has_its_place_and_says_what_was_expected(text: bytes | str, expected: str) -> None:
    message = message_of(text)
    assert expected in message
    assert "\n" not in message
    assert len(message) < 1200


def test_a_byte_order_mark_is_no_fault() -> None:
    assert parse_text("\ufeffmax_batch_size: 4".encode(), "config.pbtxt").message.max_batch_size == 4


WORDS = st.sampled_from(
    [
        *config_pb.ModelConfig.DESCRIPTOR.fields_by_name,
        *(
            "name",
            "dims",
            "shape",
            "key",
            "value",
            "string_value",
            "count",
            "kind",
            "versions",
            "latest",
            "level",
        ),
        *(
            "{",
            "}",
            "<",
            ">",
            "[",
            "]",
            ":",
            ",",
            ";",
            "#",
            "\n",
            '"',
            "'",
            "-",
            "1",
            "-1",
            "8",
            "0x7f",
            "1e9",
        ),
        *(
            '"x"',
            "'y'",
            "true",
            "false",
            "TYPE_FP32",
            "KIND_CPU",
            "99999999999999999999",
            "nan",
            "\\",
            "é",
            "\x00",
        ),
    ]
)


@given(st.lists(WORDS, max_size=40).map(" ".join))
def test_no_text_does_more_than_fail(text: str) -> None:
    assert all(line.startswith("config.pbtxt") for line in refusal(text.encode()).splitlines())


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_fail(data: bytes) -> None:
    assert all(line.startswith("config.pbtxt") for line in refusal(data).splitlines())


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=5))
def test_what_the_official_printer_writes_has_all_its_places(entries: list[tuple[str, str]]) -> None:
    message = config_pb.ModelConfig(name="m", max_batch_size=3)
    for name, value in entries:
        message.input.add(name=name, dims=[1, -1])
        message.metric_tags[name] = value
    stated = parse_text(text_format.MessageToString(message).encode(), "config.pbtxt")
    assert stated.message == message
    assert {("input", index, "dims", 1) for index in range(len(entries))} <= stated.places.keys()
