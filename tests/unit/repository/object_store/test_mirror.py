"""The local copy: what is shown is whole, and what is shown no more goes."""

import os
from pathlib import Path

import pytest

from onnxd.repository.layout import scan
from onnxd.repository.object_store.listing import Bounds, Listing, RemoteModel, RemoteObject, arrange
from onnxd.repository.object_store.mirror import Mirror
from onnxd.repository.store import StateDirectoryUnusable


def model(**files: str) -> RemoteModel:
    """`a`, with these files of version 1 by their content, which is their ETag too."""
    objects = [RemoteObject(f"a/1/{path}", len(text), text) for path, text in files.items()]
    return arrange(Listing(objects), Bounds(-1, -1)).models["a"]


def bring(mirror: Mirror, wanted: RemoteModel) -> list[str]:
    """Download what is lacking, and show it. Returns the keys."""
    lacking = mirror.lacking(wanted)
    for each in lacking:
        draft = mirror.draft()
        draft.write_text(each.tag)
        mirror.keep(draft, each)
    mirror.swap(wanted)
    return [each.key for each in lacking]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def test_a_model_is_shown_as_its_objects_are(directory: Path) -> None:
    with Mirror(directory) as mirror:
        bring(mirror, model(x="one", y="two"))

        assert (directory / "a/1/x").read_text() == "one"
        files = scan([directory]).models["a"]
        assert [stamp.path for stamp in files.versions[1].fingerprint] == ["x", "y"]
        assert (files.fault, files.warnings, files.versions[1].problems) == ("", (), ())


def test_only_what_has_changed_is_lacking_and_the_rest_keeps_its_stamps(directory: Path) -> None:
    with Mirror(directory) as mirror:
        bring(mirror, model(x="one", y="two"))
        before = scan([directory]).models["a"].versions[1].fingerprint

        assert bring(mirror, model(x="one", y="three")) == ["a/1/y"]
        mirror.collect([model(x="one", y="three")])
        after = scan([directory]).models["a"].versions[1].fingerprint

        assert after[0] == before[0]
        assert after[1] != before[1]


def test_the_state_before_is_there_until_the_next_look(directory: Path) -> None:
    with Mirror(directory) as mirror:
        bring(mirror, model(x="one"))
        old = (directory / "a/1/x").resolve()
        bring(mirror, model(x="two"))

        assert old.read_text() == "one"
        mirror.collect([model(x="two")])
        assert not old.exists()
        assert (directory / "a/1/x").read_text() == "two"


def test_what_is_removed_is_shown_no_more(directory: Path) -> None:
    with Mirror(directory) as mirror:
        bring(mirror, model(x="one"))
        mirror.remove("a")

        assert mirror.local() == {}
        assert scan([directory]).models == {}
        mirror.collect([])
        assert not any(path.is_file() for path in directory.rglob("*") if path.name != ".lock")


def test_a_copy_outlives_its_server_and_what_was_being_written_does_not(directory: Path) -> None:
    with Mirror(directory) as mirror:
        bring(mirror, model(x="one"))
        mirror.draft().write_text("ha")
        local = mirror.local()

    with Mirror(directory) as mirror:
        assert mirror.local() == local == {"a": model(x="one").digest}
        assert mirror.lacking(model(x="one")) == []
        assert list((directory / ".staging").iterdir()) == []


def test_an_object_of_another_size_than_it_should_have_is_lacking(directory: Path) -> None:
    with Mirror(directory) as mirror:
        bring(mirror, model(x="one"))
        os.truncate((directory / "a/1/x").resolve(), 1)

        assert [each.key for each in mirror.lacking(model(x="one"))] == ["a/1/x"]


def test_one_server_at_a_time_has_a_copy(directory: Path) -> None:
    with (
        Mirror(directory),
        pytest.raises(StateDirectoryUnusable, match=r"in use by another server; .*object_store\.cache_dir"),
        Mirror(directory),
    ):
        pass


def test_a_link_in_the_place_of_its_directories_is_not_followed(directory: Path, tmp_path: Path) -> None:
    directory.mkdir()
    (directory / ".objects").symlink_to(tmp_path)

    with (
        pytest.raises(StateDirectoryUnusable, match=r"cannot use .*object_store\.cache_dir"),
        Mirror(directory),
    ):
        pass
