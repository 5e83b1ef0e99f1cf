"""Models and configs that must be refused, one for each thing that can be wrong with them.

`Bad.name` begins with the row of the table of bad model files and configs.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from onnx import helper

from onnxd.tensors import Datatype
from tests.support import bombs, graphs
from tests.support.references import NEEDED, WEIGHTS, adding_outside

Place = Callable[[Path], None]
"""Puts something into a version's directory that is no plain file."""


@dataclass(frozen=True, slots=True)
class Bad:
    """One thing that must be refused."""

    name: str
    reason: str
    """A pattern of what the index must say of it."""
    graph: bytes | Callable[[], bytes] | None = None
    """Or what makes it, where that takes its time. None = a good one."""
    config: bytes | None = None
    """None = the good one."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Beside the graph."""
    place: Place | None = None

    def publish_new(self, repository: Path, name: str) -> None:
        """As a model of its own: complete under a name that is ignored, then renamed."""
        draft = repository / f"{name}.tmp"
        self._write_version(draft / "1")
        if self.config is not None:
            (draft / "config.yaml").write_bytes(self.config)
        draft.rename(repository / name)

    def publish_over(self, model: Path) -> int:
        """As version 2 of a model, or as its config. Returns how many changes that is, one rename each."""
        changes = 0
        if self.config is not None:
            (model / "config.yaml.tmp").write_bytes(self.config)
            (model / "config.yaml.tmp").rename(model / "config.yaml")
            changes += 1
        if self.config is None or self.graph is not None:
            self._write_version(model / "2.tmp")
            (model / "2.tmp").rename(model / "2")
            changes += 1
        return changes

    def _write_version(self, version: Path) -> None:
        version.mkdir(parents=True)
        for name, content in self.files.items():
            (version / name).write_bytes(content)
        if self.place is not None:
            self.place(version)
        elif self.graph is not None or self.config is not None:
            graph = graphs.row_constant(2) if self.graph is None else self.graph
            (version / "model.onnx").write_bytes(graph if isinstance(graph, bytes) else graph())


def bad_models(elsewhere: Path) -> dict[str, Bad]:
    """All of them by name. `elsewhere` is a directory outside of every repository, with a secret in it."""
    groups = (_files(), _graphs(), _references(elsewhere), _yaml(), _configs())
    return {bad.name: bad for bad in itertools.chain(*groups)}


def _files() -> Iterator[Bad]:
    picture = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")
    noise = np.random.default_rng(5).bytes(4096)
    yield Bad("I1-empty", "model.onnx is empty", b"")
    yield Bad("I1-half", "cannot be parsed", graphs.mlp((64, 64))[:8000])
    yield Bad("I1-random", "cannot be parsed", noise)
    yield Bad("I1-text", "cannot be parsed", b"this is not a model\n" * 20)
    yield Bad("I1-png", "cannot be parsed", picture)
    yield Bad("I1-directory", "'model.onnx' is a directory without", place=_directory)
    yield Bad("I1-pipe", r"'model\.onnx' is not a regular file", place=_pipe)
    yield Bad("I1-nothing", "its directory is empty")
    if os.geteuid() != 0:  # root reads everything
        yield Bad("I1-unreadable", "cannot be read: Permission denied", place=_unreadable)


def _graphs() -> Iterator[Bad]:
    yield Bad("I2-newer-ir", "IR", graphs.future_ir())
    yield Bad("I2-newer-opset", "[Oo]pset", graphs.future_opset())
    yield Bad("I2-unknown-op", "NoSuchOperator", graphs.unknown_op())
    yield Bad("I6-nodes", "memory limit|CPU time|took longer", partial(bombs.many_nodes, 10**6))
    yield Bad("I6-nested", "nested too deep", bombs.deep(10_000))
    yield Bad("I6-recursive", "recursive", bombs.recursive_functions("A"))
    yield Bad("I6-recursive-in-a-ring", "recursive", bombs.recursive_functions("A", "B", "C"))
    yield Bad("I6-doubling", "memory limit|CPU time|took longer", bombs.doubling_functions(25))
    yield Bad("I6-claimed-initializer", "declares a size of 10737418240 bytes", bombs.claimed_initializer())
    yield Bad("I6-claimed-constant", "memory limit", bombs.claimed_constant())


def _references(elsewhere: Path) -> Iterator[Bad]:
    secret = elsewhere / "secret.bin"

    def outside(name: str, reason: str, place: Place | None = None, **stated: str) -> Bad:
        files = {WEIGHTS: bytes(NEEDED)}
        if place is None:
            return Bad(name, reason, adding_outside(**stated), files=files)
        return Bad(name, reason, place=_with(adding_outside(**stated), place))

    def linked_file(directory: Path) -> None:
        (directory / "link.bin").symlink_to(secret)

    def linked_directory(directory: Path) -> None:
        (directory / "linked").symlink_to(elsewhere)

    yield outside("I7-above", r"tensor 'w' .*'\.\./1/model.onnx'.* by '\.\.'", location="../1/model.onnx")
    yield outside("I7-absolute", r"tensor 'w' .*not relative", location=str(secret))
    yield outside("I7-sibling", r"tensor 'w' .* by '\.\.'", location="../../good/1/model.onnx")
    yield outside("I7-missing", r"tensor 'w' .*'no\.bin', which is not there", location="no.bin")
    yield outside("I8-link", r"'link\.bin' is a link to somewhere outside", linked_file, location="link.bin")
    yield outside(
        "I8-linked-directory", "'linked' is a link to some", linked_directory, location="linked/secret.bin"
    )
    yield outside("I10-negative", "offset '-16'", offset="-16")
    yield outside("I10-past-end", f"'{WEIGHTS}', which has {NEEDED} bytes", offset=str(NEEDED))
    yield outside("I10-2-to-the-63", "offset '9223372036854775808'", offset=str(2**63))
    yield outside("I10-length", f"need {NEEDED} bytes", length=str(NEEDED - 1))
    yield outside("I12-memory", "an address in memory", location="*/_ORT_MEM_ADDR_/*", offset="4096")


def _yaml() -> Iterator[Bad]:
    bomb = "parameters:\n  a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"  {chr(98 + at)}: &{chr(98 + at)} [{', '.join([f'*{chr(97 + at)}'] * 9)}]\n" for at in range(8)
    )
    yield _config("I15-aliases", r"aliases \(\*a\) are not allowed", bomb)
    yield _config(
        "I16-twice", r"config\.yaml:2:1: max_batch_size: .*line 1", "max_batch_size: 8\nmax_batch_size: 9\n"
    )
    yield _config(
        "I17-no", "description: expected text, got no, which YAML reads as false", "description: no\n"
    )
    yield _config("I17-1.10", r"description: expected text, got 1\.10", "description: 1.10\n")
    yield _config("I17-012", "max_batch_size: YAML reads 012 as a number, but not", "max_batch_size: 012\n")
    yield _config("I17-date", "description: YAML reads 2024-01-01 as a date", "description: 2024-01-01\n")
    yield _config("I17-1e3", "max_batch_size: expected an integer .* got '1e3'", "max_batch_size: 1e3\n")
    yield _config("I18-tag", r"tags \(!!python/object", "description: !!python/object:os.system {}\n")
    yield _config("I18-tab", r"config\.yaml:2:1: a tab", "session:\n\tintra_op_threads: 1\n")
    yield _config("I18-deep", "nested more than 32 levels", "inputs: " + "[" * 20_000)


def _configs() -> Iterator[Bad]:
    wrong = "inputs: [{name: x, datatype: FP32, shape: [4]}]\noutputs: [{name: z}]\n"
    integers = graphs.model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [graphs.tensor("x", Datatype.INT64, (5,))],
        [graphs.tensor("y", Datatype.INT64, (5,))],
    )
    yield Bad(
        "I5-disagreeing",
        r"(?s)says FP32, the graph says INT64 for input 'x'.*says \[4\], the graph says \[5\] for input 'x'"
        r".*no output 'z'; it has 'y'",
        integers,
        wrong.encode(),
    )
    yield _config("I20-unknown", "zebra: unknown key; the keys here are", "zebra: 1\n")
    yield _config(
        "I20-misspelt", r"config\.yaml:1:1: max_batch_sise: .*mean max_batch_size", "max_batch_sise: 8\n"
    )
    yield _config("I20-negative", "instances: expected an integer from 1 to 64, got -1", "instances: -1\n")
    yield _config("I20-many", "instances: .* got 1000000000", "instances: 1000000000\n")
    yield _config("I20-batch", "max_batch_size: .* got -1", "max_batch_size: -1\n")
    yield _config("I21-library", "custom_op_library: unknown key", "custom_op_library: ./evil.so\n")
    yield _config(
        "I21-output",
        "optimized_model_filepath",
        "session: {options: {session.optimized_model_filepath: x}}\n",
    )
    yield _config("I21-import", "implementation: unknown key", "implementation: os.system\n")
    yield _config(
        "I22-missing",
        "'TensorrtExecutionProvider' is not available here; available: .*CPU",
        "providers: [TensorrtExecutionProvider]\n",
    )
    yield _config(
        "I22-gpu-99",
        "'CUDAExecutionProvider' is not available here; available: .*CPU|99",
        "providers: [{CUDAExecutionProvider: {device_id: 99}}]\n",
    )


def _config(name: str, reason: str, text: str) -> Bad:
    return Bad(name, reason, config=text.encode())


def _with(graph: bytes, place: Place) -> Place:
    def both(directory: Path) -> None:
        (directory / "model.onnx").write_bytes(graph)
        place(directory)

    return both


def _directory(version: Path) -> None:
    (version / "model.onnx").mkdir()
    (version / "model.onnx" / "readme.txt").write_text("nothing here")


def _pipe(version: Path) -> None:
    os.mkfifo(version / "model.onnx")


def _unreadable(version: Path) -> None:
    (version / "model.onnx").write_bytes(graphs.add_one())
    (version / "model.onnx").chmod(0)


def _first_of_each_row(names: Iterable[str]) -> tuple[str, ...]:
    rows = itertools.groupby(names, key=lambda name: name.partition("-")[0])
    return tuple(next(group) for _, group in rows)


REASONS: Final = {name: bad.reason for name, bad in bad_models(Path("elsewhere")).items()}
"""Of each, a pattern of what the index must say."""
OVER: Final = (*_first_of_each_row(REASONS), "I6-recursive")
"""Those that are published over a good model as well: one of each row, and one that the child refuses."""
