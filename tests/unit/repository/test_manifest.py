"""What a manifest says, and of which files."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxd.errors import LoadFailed
from onnxd.repository.completeness import Completeness
from onnxd.repository.copying import hash_file
from onnxd.repository.layout import ModelFiles, scan
from onnxd.repository.manifest import MANIFEST_FILE, parse_manifest, render_manifest
from onnxd.repository.store import SnapshotStore, Unsettled
from onnxd.repository.tree import FileStamp
from tests.support.files import put

NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1).filter(
        lambda name: name not in (".", "..")
    ),
    min_size=1,
    max_size=3,
).map("/".join)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def write(directory: Path, **files: bytes) -> None:
    """A manifest of these files, written with `_` for the dot and `__` for the slash."""
    put(directory / MANIFEST_FILE, manifest(**files).encode())


def manifest(**files: bytes) -> str:
    return render_manifest(
        {name.replace("__", "/").replace("_", "."): sha256(content) for name, content in files.items()}
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "digits"
    put(directory / "config.yaml", b"max_batch_size: 8\n")
    put(directory / "1/model.onnx", b"graph")
    return directory


def seen(model: Path) -> ModelFiles:
    return scan([model.parent]).models[model.name]


def taken(model: Path, tmp_path: Path, version: int = 1) -> dict[str, str]:
    """The digests of the settings and of a version, or the reason why they are not had."""
    files = seen(model)
    with SnapshotStore(tmp_path / "state") as store:
        return {
            "settings": store.take_settings(files).digest,
            "version": store.take(files, version).digest,
        }


# The text.


@given(st.dictionaries(NAMES, st.binary(max_size=3).map(sha256), min_size=1, max_size=5))
def test_what_is_written_is_read_back(files: dict[str, str]) -> None:
    assert parse_manifest(render_manifest(files).encode(), MANIFEST_FILE) == files


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "expected `files:` alone"),
        ("- model.onnx", "expected `files:` alone"),
        ("files: {}\nsize: 3\n", "manifest.yaml:2:"),
        ("files:\n  model.onnx: abc\n", "manifest.yaml:2:15: files.model.onnx: expected a SHA-256 as 64"),
        ("files:\n  ../model.onnx: " + "0" * 63 + "a\n", "expected a path within the directory"),
        ("files:\n  /model.onnx: " + "0" * 63 + "a\n", "expected a path within the directory"),
        ("files: {a.bin: *x}\n", "aliases"),
    ],
    ids=["empty", "a list", "a key too much", "no digest", "a path out", "an absolute path", "an alias"],
)
def test_a_manifest_that_is_none_is_refused_with_its_place(text: str, phrase: str) -> None:
    with pytest.raises(LoadFailed) as caught:
        parse_manifest(text.encode(), MANIFEST_FILE)
    assert phrase in caught.value.message


# What is copied.


def test_a_manifest_beside_the_same_files_changes_nothing_of_their_content(
    model: Path, tmp_path: Path
) -> None:
    before = taken(model, tmp_path)
    write(model / "1", model_onnx=b"graph")
    write(model, config_yaml=b"max_batch_size: 8\n")

    assert taken(model, tmp_path) == before


def test_a_file_that_is_not_the_one_named_is_refused_with_both_digests(model: Path, tmp_path: Path) -> None:
    write(model / "1", model_onnx=b"another graph")

    with pytest.raises(LoadFailed) as caught:
        taken(model, tmp_path)

    assert not isinstance(caught.value, Unsettled)
    assert caught.value.message == (
        "version 1 of model 'digits' cannot be loaded: 'model.onnx' is not the file that 1/manifest.yaml "
        f"names: expected SHA-256 {sha256(b'another graph')}, got {sha256(b'graph')}"
    )


def test_a_file_that_is_missing_is_named(model: Path, tmp_path: Path) -> None:
    write(model / "1", model_onnx=b"graph", weights_bin=b"weights")

    with pytest.raises(LoadFailed, match=r"1/manifest\.yaml names 'weights\.bin', which is missing"):
        taken(model, tmp_path)


def test_a_file_that_the_manifest_does_not_have_is_named(model: Path, tmp_path: Path) -> None:
    write(model / "1", model_onnx=b"graph")
    put(model / "1/weights.bin")

    with pytest.raises(LoadFailed, match=r"'weights\.bin' is not in 1/manifest\.yaml; write it anew"):
        taken(model, tmp_path)


def test_a_models_manifest_holds_its_config_and_its_versions_to_what_it_says(
    model: Path, tmp_path: Path
) -> None:
    write(model, config_yaml=b"max_batch_size: 8\n", **{"1__model_onnx": b"graph"})
    assert taken(model, tmp_path)

    put(model / "config.yaml", b"max_batch_size: 9\n")
    with pytest.raises(LoadFailed, match=r"the settings of model 'digits' .*'config\.yaml' is not the file"):
        taken(model, tmp_path)


def test_a_version_that_a_models_manifest_names_must_be_there(model: Path, tmp_path: Path) -> None:
    write(
        model, config_yaml=b"max_batch_size: 8\n", **{"1__model_onnx": b"graph", "2__model_onnx": b"second"}
    )

    with pytest.raises(LoadFailed, match=r"names '2/model\.onnx', which is missing"):
        taken(model, tmp_path)


def test_a_version_that_a_models_manifest_does_not_name_is_free(model: Path, tmp_path: Path) -> None:
    write(model, config_yaml=b"max_batch_size: 8\n", **{"1__model_onnx": b"graph"})
    put(model / "2/model.onnx", b"second")

    assert taken(model, tmp_path, version=2)


def test_a_manifest_of_a_model_without_version_directories_has_all_its_files(tmp_path: Path) -> None:
    model = tmp_path / "models" / "flat"
    put(model / "model.onnx", b"graph")
    put(model / "config.yaml", b"")
    put(model / "labels.txt", b"cat\n")
    write(model, model_onnx=b"graph", config_yaml=b"", labels_txt=b"cat\n")
    assert taken(model, tmp_path)

    put(model / "labels.txt", b"dog\n")
    with pytest.raises(LoadFailed, match=r"'labels\.txt' is not the file that manifest\.yaml names"):
        taken(model, tmp_path)


def test_a_manifest_that_changes_while_it_is_read_is_unsettled(model: Path, tmp_path: Path) -> None:
    write(model / "1", model_onnx=b"graph")
    files = seen(model)
    write(model / "1", model_onnx=b"graph2")

    with SnapshotStore(tmp_path / "state") as store, pytest.raises(Unsettled):
        store.take(files, 1)


# What is complete.


def complete(model: Path, known: ModelFiles | None = None) -> bool:
    return model.name in Completeness().of([(seen(model), known)])


def test_without_a_manifest_nobody_knows(model: Path) -> None:
    assert not complete(model)


def test_a_new_model_is_complete_when_all_its_parts_are_as_stated(model: Path) -> None:
    write(model, config_yaml=b"max_batch_size: 8\n", **{"1__model_onnx": b"graph"})
    assert complete(model)
    put(model / "1/model.onnx", b"gra")
    assert not complete(model)


def test_a_new_config_without_a_manifest_must_settle_whatever_the_versions_say(model: Path) -> None:
    write(model / "1", model_onnx=b"graph")
    assert not complete(model)
    os.unlink(model / "config.yaml")
    assert complete(model)


def test_a_new_version_is_complete_where_the_rest_has_not_changed(model: Path) -> None:
    known = seen(model)
    put(model / "2/model.onnx", b"second")
    assert not complete(model, known)
    write(model / "2", model_onnx=b"second")
    assert complete(model, known)
    put(model / "1/model.onnx", b"changed")
    assert not complete(model, known)


def test_a_file_that_has_not_changed_is_hashed_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(model, config_yaml=b"max_batch_size: 8\n", **{"1__model_onnx": b"the whole graph"})
    hashed: list[str] = []

    def counted(path: Path, stamp: FileStamp) -> str:
        hashed.append(path.name)
        return hash_file(path, stamp)

    monkeypatch.setattr("onnxd.repository.completeness.hash_file", counted)
    check = Completeness()
    for content in (b"the", b"the whole", b"the whole graph"):
        put(model / "1/model.onnx", content)
        last = check.of([(seen(model), None)])
    assert last == {"digits"}
    assert hashed.count("config.yaml") == 1
    assert hashed.count("model.onnx") == 3
