"""From the keys of a bucket to models and their files: what may become a path, and what not. Pure."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from onnxd.errors import InvalidName
from onnxd.protocol.names import check_model_name
from onnxd.protocol.wording import show
from onnxd.repository.layout import part_of_a_model
from onnxd.repository.tree import MAX_DEPTH, ignored
from onnxd.units import size_text

MAX_PART_BYTES: Final = 255
"""Of what a file system takes as a name."""
MAX_KEY_BYTES: Final = 2048
"""So that it is a path wherever the copy lies."""


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """One object as a listing has it."""

    key: str
    """Without the repository's prefix."""
    size: int
    tag: str
    """Its ETag, or what else says that it is another than before. It says whether to download, no more."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a store says is there."""

    objects: Sequence[RemoteObject]
    unsafe: Mapping[str, str] = field(default_factory=dict)
    """By the first part of their keys: what the store holds under it cannot be listed, and why."""


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """The objects of one model, by the path that each is to have in the model's directory; sorted."""

    name: str
    files: Mapping[str, RemoteObject]

    @property
    def size_bytes(self) -> int:
        return sum(each.size for each in self.files.values())

    @property
    def digest(self) -> str:
        """Equal digests mean that nothing has changed, as far as the store tells."""
        parts = [(path, each.key, each.size, each.tag) for path, each in self.files.items()]
        return hashlib.sha256(repr((self.name, parts)).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Bounds:
    """-1 = none."""

    object_bytes: int
    all_bytes: int


@dataclass(frozen=True, slots=True)
class RemoteRepository:
    """What a listing comes to."""

    models: Mapping[str, RemoteModel]
    """By name, sorted."""
    refused: Mapping[str, str]
    """Models of which nothing is taken, and why; fit for a client to read."""
    problems: tuple[str, ...]
    """For the operator's log: keys that can belong to no model."""


def arrange(listing: Listing, bounds: Bounds, single_model: str = "") -> RemoteRepository:
    """Sort a listing's objects into models. A model with one key that cannot be a file is refused whole.

    `single_model`: what the model is called if the objects are those of one model, without a name above.
    """
    tops = {each.key.partition("/")[0] for each in listing.objects} | set(listing.unsafe)
    single = single_model if single_model and part_of_a_model(sorted(tops)) else ""
    found: dict[str, list[RemoteObject]] = defaultdict(list)
    refused: dict[str, str] = {}
    problems: list[str] = []
    for top, why in sorted(listing.unsafe.items()):
        name = single or top
        if problem := _name_problem(name):
            problems.append(f"the keys under {show(top)} are not taken: {problem}")
        else:
            refused[name] = why
    for each in listing.objects:
        name, slash, path = (single, "/", each.key) if single else each.key.partition("/")
        if not slash or _passed_over(name):
            if not slash and name.endswith(".onnx"):
                problems.append(
                    f"{show(each.key)} lies directly under the prefix; a model is NAME/1/model.onnx, or is "
                    "named with single_model_name"
                )
        elif problem := _name_problem(name):
            if (text := f"the keys under {show(name)} are not taken: {problem}") not in problems:
                problems.append(text)
        else:
            found[name].append(RemoteObject(path, each.size, each.tag))
    prefix = {name: "" if single else f"{name}/" for name in found}
    models: dict[str, RemoteModel] = {}
    spent = 0
    for name in sorted(found):
        files = dict(_without_markers(found[name]))
        why = refused.get(name) or _case_twin(name, found) or _fault(files.values(), bounds)
        size = sum(each.size for each in files.values())
        if not why and 0 <= bounds.all_bytes < spent + size:
            why = (
                f"its objects are {size_text(size)}, and with them the repository would be over "
                f"{size_text(bounds.all_bytes)} (setting object_store.max_bytes)"
            )
        if why:
            refused[name] = why
        elif files:
            spent += size
            whole = {
                path: RemoteObject(prefix[name] + path, each.size, each.tag)
                for path, each in sorted(files.items())
            }
            models[name] = RemoteModel(name, whole)
    return RemoteRepository(models, dict(sorted(refused.items())), tuple(problems))


def _name_problem(name: str) -> str:
    try:
        check_model_name(name)
    except InvalidName as error:
        return error.message
    return ""


def _case_twin(name: str, names: Iterable[str]) -> str:
    twins = sorted(other for other in names if other != name and other.casefold() == name.casefold())
    return f"its name differs from that of '{twins[0]}' in case only" if twins else ""


def _without_markers(objects: Sequence[RemoteObject]) -> Iterator[tuple[str, RemoteObject]]:
    """By path; without what tools leave behind: empty objects that stand for a directory, and names that the
    scan of a directory would pass over."""
    above = {each.key[:cut] for each in objects for cut, char in enumerate(each.key) if char == "/"}
    for each in objects:
        marker = each.size == 0 and (not each.key or each.key.endswith("/") or each.key in above)
        if not marker and not any(map(_passed_over, each.key.split("/"))):
            yield each.key, each


def _passed_over(part: str) -> bool:
    return part not in (".", "..") and ignored(part)


def _fault(objects: Iterable[RemoteObject], bounds: Bounds) -> str:
    """Why these cannot be the files of a directory; empty = they can."""
    paths: dict[str, str] = {}
    directories: dict[str, str] = {}
    for each in objects:
        if problem := key_problem(each.key):
            return f"its object {show(each.key)} cannot be a file: {problem}"
        if 0 <= bounds.object_bytes < each.size:
            return (
                f"its object {show(each.key)} has {size_text(each.size)}, more than "
                f"{size_text(bounds.object_bytes)} (setting object_store.max_object_bytes)"
            )
        parts = each.key.split("/")
        for length in range(1, len(parts)):
            directory = "/".join(parts[:length])
            if directories.setdefault(directory.casefold(), directory) != directory:
                return f"its objects under {show(directory)} differ in case only from others"
        if (other := paths.setdefault(each.key.casefold(), each.key)) != each.key:
            return f"its objects {show(other)} and {show(each.key)} differ in case only"
    for folded, path in paths.items():
        if folded in directories:
            return f"its object {show(path)} would be a file and a directory, as others lie under it"
    return ""


def key_problem(key: str) -> str:
    """Why a key cannot be a path within a model's directory; empty = it can."""
    parts = key.split("/")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        return f"it is longer than {MAX_KEY_BYTES} bytes"
    if len(parts) > MAX_DEPTH:
        return f"it has more than {MAX_DEPTH} parts"
    for part in parts:
        if not part:
            return "a part of it is empty"
        if part in (".", ".."):
            return f"a part of it is {part!r}"
        if not part.isprintable() or "\\" in part:
            return "it has a control character or a backslash"
        if len(part.encode("utf-8", "surrogatepass")) > MAX_PART_BYTES:
            return f"a part of it is longer than {MAX_PART_BYTES} bytes"
    return ""
