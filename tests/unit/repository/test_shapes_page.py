"""What docs/shapes.md shows is real."""

import re
from pathlib import Path

from onnxd.repository.config_file import parse_model_config
from onnxd.repository.padding_check import padding_question, padding_warning
from onnxd.repository.pbtxt.converted import convert
from onnxd.repository.pbtxt.text import parse_text
from onnxd.repository.pbtxt.translation import translate
from onnxd.runtime.padding_examination import examine_padding
from onnxd.scheduler.ragged import batch_input
from onnxd.tensors import BatchInput, BatchKind, Datatype
from tests.support import sequence_graphs
from tests.support.sequences import opened, spec_of

PAGE = (Path(__file__).parents[3] / "docs" / "shapes.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_yaml_is_what_the_pbtxt_says() -> None:
    stated = parse_text(blocks("text")[1].encode(), "config.pbtxt")
    shown = parse_model_config(blocks("yaml")[1].encode()).config
    assert translate(stated, "m", gpus=0).config == shown
    assert parse_model_config(convert(stated, "m", gpus=0).text.encode()).config == shown


def test_the_axes_can_be_read() -> None:
    axis = parse_model_config(blocks("yaml")[0].encode()).config.dynamic_axes["seq"]
    assert (axis.buckets, axis.pad, axis.mask_input) == ((32, 64, 128), 0, "attention_mask")


def test_the_warning_is_one(tmp_path: Path) -> None:
    session = opened(tmp_path, sequence_graphs.plain_mean())
    spec = spec_of(session, "max_batch_size: 8\ndynamic_axes: {seq: {buckets: [4, 8]}}")
    warning = padding_warning(examine_padding(session, tmp_path, padding_question(spec) or {}))
    assert f"{warning}\n" == blocks("text")[0]


def test_every_kind_of_batch_input_gives_what_the_table_has() -> None:
    for kind in BatchKind:
        made = batch_input(BatchInput("made", Datatype.INT32, kind, "x"), [(2, 3), (1, 4)])
        [shown] = re.findall(rf"^\| `{kind.value}` \| (.*?)(?:: .*)? \|$", PAGE, re.MULTILINE)
        expected = "six zeros" if kind is BatchKind.MAX_ELEMENT_COUNT_AS_SHAPE else str(made.tolist())
        assert shown == expected, kind
        assert kind is not BatchKind.MAX_ELEMENT_COUNT_AS_SHAPE or made.tolist() == [0] * 6
