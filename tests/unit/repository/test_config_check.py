"""Every kind of fault that a config.yaml can have, told at once, and mended where that is certain."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.repository.config_check import Surroundings, config_faults, readable_config
from onnxd.repository.config_file import LoadedConfig
from onnxd.repository.document import Fault
from onnxd.repository.fault_codes import Code
from onnxd.repository.mending import mend, mended_alone
from onnxd.repository.mends import meant
from onnxd.runtime.graph import GraphSpec, GraphTensor
from onnxd.tensors import Datatype
from tests.support.server import ROOT

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
LABELS: Final = {"labels.txt": tuple("0123456789")}


def graph(
    x: Sequence[int] = (-1, 64), y: Sequence[int] = (-1, 10), *, ranked: bool = True, text: bool = False
) -> GraphSpec:
    result = GraphTensor("y", Datatype.BYTES if text else Datatype.FP32, tuple(y), rank_known=ranked)
    return GraphSpec((GraphTensor("x", Datatype.FP32, tuple(x)),), (result,))


@dataclass(frozen=True)
class Case:
    """A faulty text, and what it is after mending: None = the same, because nothing is certain."""

    code: str
    before: str
    after: str | None = None
    graph: GraphSpec = field(default_factory=graph)
    available: tuple[str, ...] = (CPU,)


BATCHED = "max_batch_size: 8\n"
CASES: Final = {
    "a misspelt key": Case("C010", "max_batch_sise: 8 # rows\n", "max_batch_size: 8 # rows\n"),
    "a misspelt key in a section": Case(
        "C010", "batching:\n  max_queue_sise: 8\n", "batching:\n  max_queue_size: 8\n"
    ),
    "a key like two others": Case("C010", "session: {int_op_threads: 1}\n"),
    "a key like one and more like another": Case(
        "C010", "session: {intra_op_thread: 1}\n", "session: {intra_op_threads: 1}\n"
    ),
    "a key that is nothing like any": Case("C010", "zebra: 1\n"),
    "a misspelling of a key that is there": Case("C010", "instances: 1\ninstance: 2\n"),
    "a misspelt session option": Case(
        "C010",
        'session: {options: {session.set_denormal_as_zer: "1"}}\n',
        'session: {options: {session.set_denormal_as_zero: "1"}}\n',
    ),
    "no YAML": Case("C001", "a: [\n"),
    "an alias": Case("C002", "description: &a x\nfile: *a\n"),
    "a key twice": Case("C003", "instances: 1\ninstances: 2\n"),
    "no value": Case("C004", "description:\n"),
    "a missing key": Case("C011", "inputs: [{datatype: FP32}]\n"),
    "a number out of its range": Case("C012", "instances: 0\n"),
    "a word in small letters": Case(
        "C012", "inputs: [{name: x, datatype: fp32}]\n", "inputs: [{name: x, datatype: FP32}]\n"
    ),
    "a misspelt word": Case(
        "C012", "session: {execution_mode: paralell}\n", "session: {execution_mode: parallel}\n"
    ),
    "a text that is a number": Case("C013", "description: 1.10\n", 'description: "1.10"\n'),
    "a text that is no": Case("C013", "parameters: {x: no}\n", 'parameters: {x: "no"}\n'),
    "a number without its unit": Case("C013", BATCHED + "batching: {max_queue_delay: 0.5}\n"),
    "a date": Case("C013", "description: 2024-01-01\n"),
    "too many rows": Case("C020", BATCHED + "warmup: {batch_sizes: [9]}\n"),
    "a delay without batches": Case("C021", "batching: {max_queue_delay: 1ms}\n"),
    "a reshape without a shape": Case("C022", "inputs: [{name: x, reshape: [64]}]\n"),
    "an input twice": Case("C023", "inputs: [{name: x}, {name: x}]\n"),
    "a provider twice": Case("C023", f"providers: [{CPU}, {CPU}]\n", f"providers: [{CPU}]\n"),
    "a misspelt required provider": Case(
        "C024", "require_provider: CPUExecutionProvder\n", f"require_provider: {CPU}\n"
    ),
    "a required provider that is another": Case("C024", "require_provider: Nothing\n"),
    "a wrong datatype": Case(
        "C031", "inputs:\n- name: x\n  datatype: FP64 # why\n", "inputs:\n- name: x\n  datatype: FP32 # why\n"
    ),
    "a wrong size": Case(
        "C032", BATCHED + "inputs: [{name: x, shape: [63]}]\n", BATCHED + "inputs: [{name: x, shape: [64]}]\n"
    ),
    "a size too many": Case(
        "C032",
        BATCHED + "inputs:\n- name: x\n  shape:\n  - -1\n  - 64 # pixels\n",
        BATCHED + "inputs:\n- name: x\n  shape:\n  - 64 # pixels\n",
    ),
    "a size too few": Case(
        "C032", "inputs: [{name: x, shape: [64]}]\n", "inputs: [{name: x, shape: [-1, 64]}]\n"
    ),
    "sizes with a comment": Case("C032", "inputs:\n- name: x\n  shape: # pixels\n  - 64\n"),
    "a name that is nearly right": Case(
        "C033",
        "inputs: [{name: imagw}]\n",
        "inputs: [{name: image}]\n",
        GraphSpec(tuple(GraphTensor(name, Datatype.FP32, (1,)) for name in ("image", "mask")), ()),
    ),
    "the only name": Case("C033", "inputs: [{name: picture}]\n", "inputs: [{name: x}]\n"),
    "a name like none of several": Case("C033", "inputs: [{name: x}, {name: zebra}]\n"),
    "rows for a graph of one row": Case(
        "C034",
        "description: d\nmax_batch_size: 8\ninputs: [{name: x, shape: [64]}]\n",
        "description: d\ninputs: [{name: x, shape: [1, 64]}]\n",
        graph((1, 64), (1, 10)),
    ),
    "rows that more than the graph speaks of": Case(
        "C034", BATCHED + "batching: {max_queue_delay: 1ms}\n", None, graph((1, 64), (1, 10))
    ),
    "a shape of unknown rank": Case("C035", "", None, graph(y=(), ranked=False)),
    "an optional input without a default": Case(
        "C036", "inputs: [{name: x, optional: true}]\n", "inputs: [{name: x}]\n"
    ),
    "labels of a text": Case("C040", "outputs: [{name: y, labels: labels.txt}]\n", None, graph(text=True)),
    "a misspelt labels file": Case(
        "C041", "outputs: [{name: y, labels: label.txt}]\n", "outputs: [{name: y, labels: labels.txt}]\n"
    ),
    "another labels file": Case("C041", "outputs: [{name: y, labels: classes.csv}]\n"),
    "too many labels": Case("C042", "outputs: [{name: y, labels: labels.txt}]\n", None, graph(y=(-1, 9))),
    "a misspelt provider": Case("C050", "providers: [CPUExecutionProvder]\n", f"providers: [{CPU}]\n"),
    "half of a provider's name": Case("C050", "providers: [cpu]\n", f"providers: [{CPU}]\n"),
    "a provider that is not here": Case("C050", f"providers: [{CUDA}]\n"),
    "a misspelling of one that is not here": Case("C050", "providers: [CUDAExecutionProvder]\n"),
    "a misspelt provider with options": Case(
        "C050",
        "providers: [{CUDAExecutionProvder: {device_id: 1}}]\n",
        f"providers: [{{{CUDA}: {{device_id: 1}}}}]\n",
        available=(CPU, CUDA),
    ),
    "a misspelt option of a provider": Case(
        "C051",
        f"providers: [{{{CUDA}: {{device_ib: 1}}}}]\n",
        f"providers: [{{{CUDA}: {{device_id: 1}}}}]\n",
        available=(CPU, CUDA),
    ),
}
ELSEWHERE: Final = {"C005", "C030", "C037", "C038", "C060", "C061", "C062", "C070", "C071", "C090", "C091"}
"""Not of a config.yaml's text: tests/unit/cli/test_check_codes.py has them."""


def around(case: Case) -> Surroundings:
    return Surroundings({1: case.graph}, LABELS, case.available, (CPU, CUDA))


def faults(text: str, case: Case) -> list[Fault]:
    return config_faults(text.encode(), "config.yaml", around(case))


@pytest.mark.parametrize("name", CASES)
def test_a_fault_has_its_code_and_its_place(name: str) -> None:
    case = CASES[name]
    (found, *_) = [fault for fault in faults(case.before, case) if fault.code.value == case.code]
    assert 1 <= found.position.line <= case.before.count("\n") + 1
    assert found.text


@pytest.mark.parametrize("name", CASES)
def test_it_is_mended_where_that_is_certain_and_then_the_file_is_sound(name: str) -> None:
    case = CASES[name]
    mended = mend(case.before, lambda text: faults(text, case))
    if case.after is None:
        assert (mended.text, mended.mended) == (case.before, ())
    else:
        assert mended.text == case.after
        assert faults(mended.text, case) == []


@pytest.mark.parametrize("name", CASES)
def test_mending_again_changes_nothing(name: str) -> None:
    case = CASES[name]
    once = mend(case.before, lambda text: faults(text, case)).text
    assert mend(once, lambda text: faults(text, case)).text == once


def test_every_code_has_a_case() -> None:
    assert {case.code for case in CASES.values()} | ELSEWHERE == {code.value for code in Code}


def test_every_code_has_a_row_in_the_documentation() -> None:
    page = (ROOT / "docs/check.md").read_text()
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `C")]
    assert rows == sorted(code.value for code in Code)


def test_a_provider_that_may_be_passed_over_is_no_fault_while_another_is_there() -> None:
    here = Case("", "")
    text = "provider_fallback: next\nproviders: [{providers}]\n"
    assert faults(text.replace("{providers}", f"{CUDA}, {CPU}"), here) == []
    (only,) = faults(text.replace("{providers}", CUDA), here)
    assert only.code == Code.PROVIDER
    (misspelt,) = faults(text.replace("{providers}", f"CUDAExecutionProvidr, {CPU}"), here)
    assert misspelt.code == Code.PROVIDER


def test_all_faults_are_told_at_once() -> None:
    text = (
        "descripton: x\ninstances: 0\n" + BATCHED + "inputs: [{name: x, datatype: FP64, shape: [63]}]\n"
        "outputs: [{name: y, labels: label.txt}]\nproviders: [cpu]\n"
    )
    found = faults(text, Case("", ""))
    assert [fault.code.value for fault in found] == ["C010", "C012", "C031", "C032", "C041", "C050"]


def test_the_graph_is_left_out_while_it_is_not_known_what_is_batched() -> None:
    text = "max_batch_sise: 8\ninputs: [{name: x, shape: [63]}]\n"
    case = Case("", "")
    assert [fault.code.value for fault in faults(text, case)] == ["C010"]
    assert mend(text, lambda each: faults(each, case)).text == BATCHED + "inputs: [{name: x, shape: [64]}]\n"


def test_what_comes_to_light_does_not_hold_up_a_mend() -> None:
    case = Case("", "")
    mended = mend("inputz:\n- name: x\n  shape: yes\n", lambda text: faults(text, case))
    assert mended.text == "inputs:\n- name: x\n  shape: yes\n"


def test_two_versions_that_differ_are_not_mended_for_one_of_them() -> None:
    text = "inputs: [{name: x, shape: [-1, 63]}]\n"
    both = Surroundings({1: graph((-1, 64)), 2: graph((-1, 65))})
    assert mend(text, lambda each: config_faults(each.encode(), "c", both)).mended == ()


def test_what_the_graph_says_stands_beside_the_fault() -> None:
    (found,) = faults("inputs: [{name: x, datatype: FP64}]\n", Case("", ""))
    assert found.graph == "input 'x': FP32 [-1, 64]"


def test_a_problem_of_no_other_kind_has_a_code_too() -> None:
    failure = LoadedConfig(readable_config(b"")).failure([(("file",), "it is odd")])
    assert [fault.code for fault in failure.faults] == [Code.DISAGREEMENT]


def test_a_file_that_nothing_can_be_read_of_counts_as_the_default() -> None:
    assert readable_config(b"\xff").file == "model.onnx"
    assert readable_config(b"file: other.onnx\nzebra: 1\n").file == "other.onnx"


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("imag", ["image", "mask"], "image"),
        ("IMAGE", ["image", "images"], "image"),
        ("int_op", ["intra_op", "inter_op"], None),
        ("zebra", ["image"], None),
        ("", ["image"], None),
        ("x" * 100, ["x" * 99], None),
        ("image", [], None),
    ],
)
def test_a_word_is_a_misspelling_only_of_one_other(
    word: str, known: Sequence[str], expected: str | None
) -> None:
    assert meant(word, known) == expected


LINES: Final = (
    "max_batch_sise: 8  # rows", "max_batch_size: 8", "inputs:", "outputs:", "  - name: x", "    shape: [63]",
    "    shape:", "      - -1", "      - 64 # all", "    datatype: fp64", "  - {name: y, labels: label.txt}",
    "instance: no", "providers: [cpu, cpu]", "# a comment", "", "description: &d 1.10", "file: *d",
    "batching:", "  max_queue_dealy: 5ms", "parameters: {a: yes, b: 1}",
    "inputs: [{name: X, optional: true}]",
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=14))
def test_a_mended_file_is_no_worse_keeps_its_comments_and_is_mended_once(lines: list[str]) -> None:
    case = Case("", "")
    text = "\n".join(lines)
    once = mend(text, lambda each: faults(each, case))
    assert once.text.count("#") == text.count("#")
    assert len([fault for fault in faults(once.text, case) if fault.code.value < "C020"]) <= len(
        [fault for fault in faults(text, case) if fault.code.value < "C020"]
    )
    assert mend(once.text, lambda each: faults(each, case)).text == once.text


@given(st.text(st.sampled_from("ab: #-[]{},'\"\n \t!&*|>1.é"), max_size=60))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    case = Case("", "")
    mended = mend(text, lambda each: faults(each, case))
    assert [line for line in text.splitlines() if line.lstrip().startswith("#")] == [
        line for line in mended.text.splitlines() if line.lstrip().startswith("#")
    ]
    for fault in faults(text, case):
        mended_alone(text, fault)
