"""What the scan of a real directory sees, and what it takes no notice of."""

import errno
import os
import socket
from pathlib import Path

import pytest

from onnxd.repository.layout import MAX_SETTINGS_FILE_BYTES, ModelFiles, read_version, scan


def put(path: Path, content: bytes = b"model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "models"
    path.mkdir()
    return path


def only(root: Path) -> ModelFiles:
    models = scan([root]).models
    assert len(models) == 1, sorted(models)
    return next(iter(models.values()))


def test_a_model_is_a_directory_with_numbered_versions(root: Path) -> None:
    put(root / "digits/1/model.onnx")
    put(root / "digits/10/weights/data.bin")
    put(root / "digits/config.yaml")
    put(root / "digits/labels.txt")

    model = only(root)

    assert (model.name, model.root, model.path, model.fault) == ("digits", root, root / "digits", "")
    assert list(model.versions) == [1, 10]
    assert [stamp.path for stamp in model.versions[10].fingerprint] == ["weights/data.bin"]
    assert [stamp.path for stamp in model.settings] == ["config.yaml", "labels.txt"]
    assert model.config_file == "config.yaml"


def test_a_file_directly_in_the_models_directory_is_version_1(root: Path) -> None:
    put(root / "digits/model.onnx")
    put(root / "digits/model.onnx.data")
    put(root / "digits/config.yaml")

    model = only(root)

    assert list(model.versions) == [1]
    assert model.versions[1].flat
    assert [stamp.path for stamp in model.versions[1].fingerprint] == ["model.onnx", "model.onnx.data"]
    assert [stamp.path for stamp in model.settings] == ["config.yaml", "model.onnx.data"]


def test_a_file_beside_version_directories_is_named_and_not_served(root: Path) -> None:
    put(root / "digits/3/model.onnx")
    put(root / "digits/model.onnx")

    model = only(root)

    assert list(model.versions) == [3]
    assert "'model.onnx' is not served" in model.warnings[0]


def test_a_model_without_any_version_has_a_fault_that_says_how_to_mend_it(root: Path) -> None:
    (root / "digits/abc").mkdir(parents=True)

    assert only(root).fault == "it has no version: put its file into digits/1/model.onnx"


def test_an_empty_version_directory_is_a_problem_of_that_version_only(root: Path) -> None:
    put(root / "digits/1/model.onnx")
    (root / "digits/2").mkdir()

    model = only(root)

    assert model.fault == ""
    assert model.versions[1].problems == ()
    assert model.versions[2].problems == ("its directory is empty",)


@pytest.mark.parametrize("name", ["0", "01", "-1", "1.0", "99999999999999999999", "9223372036854775808"])
def test_a_directory_that_looks_like_a_number_but_is_no_version_is_warned_of(root: Path, name: str) -> None:
    put(root / "digits/1/model.onnx")
    put(root / f"digits/{name}/model.onnx")

    model = only(root)

    assert list(model.versions) == [1]
    assert f"'{name}' is not a version" in model.warnings[0]


def test_the_highest_version_fits_63_bits(root: Path) -> None:
    put(root / "digits/9223372036854775807/model.onnx")

    assert list(only(root).versions) == [2**63 - 1]


def test_a_version_may_have_the_number_that_vim_uses_for_its_probe(root: Path) -> None:
    put(root / "digits/4913/model.onnx")
    put(root / "digits/4913/4913")

    model = only(root)

    assert [stamp.path for stamp in model.versions[4913].fingerprint] == ["model.onnx"]


@pytest.mark.parametrize("name", ["my model", "-x", "_x", "a..b", "x" * 129, "modèle"])
def test_a_name_that_no_client_could_ask_for_is_not_a_model(root: Path, name: str) -> None:
    put(root / name / "1/model.onnx")

    found = scan([root])

    assert not found.models
    assert "is not served" in found.problems[0]


@pytest.mark.parametrize(
    "name",
    [
        ".model.onnx.swp",
        "model.onnx~",
        "#model.onnx#",
        ".#model.onnx",
        "model.swp",
        "4913",
        "x.tmp",
        "x.part",
        "x.partial",
        ".nfs000001",
        "lost+found",
        "__pycache__",
    ],
)
def test_what_editors_and_copiers_leave_behind_changes_nothing(root: Path, name: str) -> None:
    put(root / "digits/1/model.onnx")
    put(root / "digits/config.yaml")
    before = only(root)

    put(root / "digits/1" / name)
    put(root / "digits" / name)
    put(root / name)

    found = scan([root])
    assert found.models["digits"].key == before.key
    assert list(found.models) == ["digits"]
    assert found.problems == ()


def test_an_onnx_file_directly_in_the_repository_is_explained(root: Path) -> None:
    put(root / "digits.onnx")

    assert "move it to digits/1/model.onnx" in scan([root]).problems[0]


def test_the_key_stays_while_nothing_changes(root: Path) -> None:
    put(root / "digits/1/model.onnx")

    assert only(root).key == only(root).key


def test_a_rewrite_that_restores_size_and_time_changes_the_key(root: Path) -> None:
    path = put(root / "digits/1/model.onnx", b"abc")
    before = path.stat()
    key = only(root).key

    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_bytes(b"xyz")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert only(root).key != key


def test_a_time_that_goes_backwards_changes_the_key(root: Path) -> None:
    path = put(root / "digits/1/model.onnx")
    key = only(root).key

    os.utime(path, (1, 1))

    assert only(root).key != key


@pytest.mark.parametrize("path", ["digits/config.yaml", "digits/2/model.onnx", "digits/1/model.onnx.data"])
def test_a_file_that_is_added_changes_the_key(root: Path, path: str) -> None:
    put(root / "digits/1/model.onnx")
    key = only(root).key

    put(root / path)

    assert only(root).key != key


def test_a_large_file_beside_the_versions_is_not_part_of_the_settings(root: Path) -> None:
    put(root / "digits/1/model.onnx")
    with (root / "digits/data.bin").open("wb") as file:
        file.truncate(MAX_SETTINGS_FILE_BYTES + 1)

    assert only(root).settings == ()


def publish_as_a_kubernetes_volume(model: Path, stamp: str, content: bytes) -> None:
    """As the kubelet does: a new directory, and one rename that swaps the link to it."""
    put(model / f"..{stamp}/1/model.onnx", content)
    put(model / f"..{stamp}/config.yaml", content)
    (model / "..data_tmp").symlink_to(f"..{stamp}")
    (model / "..data_tmp").rename(model / "..data")
    for name in ("1", "config.yaml"):
        if not (model / name).is_symlink():
            (model / name).symlink_to(f"..data/{name}")


def test_a_kubernetes_volume_is_read_through_its_links_and_a_swap_changes_the_key(root: Path) -> None:
    publish_as_a_kubernetes_volume(root / "digits", "2026_01", b"old")
    before = only(root)

    publish_as_a_kubernetes_volume(root / "digits", "2026_02", b"newer")
    after = only(root)

    assert [stamp.size for stamp in before.versions[1].fingerprint] == [3]
    assert [stamp.size for stamp in after.versions[1].fingerprint] == [5]
    assert before.key != after.key
    assert after.warnings == ()


def test_the_directories_behind_links_are_among_those_to_watch(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/deep/model.onnx")
    put(tmp_path / "shared/config.yaml")
    (root / "digits").mkdir()
    (root / "digits/1").symlink_to(tmp_path / "elsewhere/deep")
    (root / "digits/config.yaml").symlink_to(tmp_path / "shared/config.yaml")

    paths = {directory.path for directory in scan([root]).directories}

    real = os.path.realpath(tmp_path)
    assert paths == {f"{real}/{name}" for name in ("models", "models/digits", "elsewhere/deep", "shared")}


def test_the_swap_of_a_root_that_is_a_link_is_seen(tmp_path: Path) -> None:
    put(tmp_path / "blue/digits/1/model.onnx")
    put(tmp_path / "green/digits/1/model.onnx")
    root = tmp_path / "current"
    root.symlink_to("blue")
    before = scan([root])

    root.unlink()
    root.symlink_to("green")
    after = scan([root])

    assert before.models["digits"].key != after.models["digits"].key
    assert before.roots[root].identity != after.roots[root].identity


@pytest.mark.timeout(5)
def test_a_pipe_in_place_of_a_model_is_a_problem_and_is_never_opened(root: Path) -> None:
    (root / "digits/1").mkdir(parents=True)
    os.mkfifo(root / "digits/1/model.onnx")
    (root / "flat").mkdir()
    os.mkfifo(root / "flat/model.onnx")
    put(root / "fine/1/model.onnx")

    models = scan([root]).models

    assert "'model.onnx' is not a regular file" in models["digits"].versions[1].problems[0]
    assert "'model.onnx' is not a regular file" in models["flat"].fault
    assert models["fine"].fault == ""


def test_a_socket_in_a_version_is_a_problem(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root / "digits/1/model.onnx")
    monkeypatch.chdir(root / "digits/1")  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        assert "'s' is not a regular file" in only(root).versions[1].problems[0]


def test_a_link_to_nothing_is_a_problem_of_its_version(root: Path) -> None:
    put(root / "digits/1/labels.txt")
    (root / "digits/1/model.onnx").symlink_to("away.onnx")
    (root / "digits/1/itself").symlink_to("itself")

    assert only(root).versions[1].problems == (
        "'itself' is a link to nothing",
        "'model.onnx' is a link to nothing",
    )


def test_a_link_in_a_version_to_outside_of_the_repository_is_a_problem_of_it(
    root: Path, tmp_path: Path
) -> None:
    put(tmp_path / "secrets/key")
    put(tmp_path / "models-2/weights.bin")
    put(root / "digits/1/model.onnx")
    (root / "digits/1/a.bin").symlink_to(tmp_path / "secrets/key")
    (root / "digits/1/b").symlink_to("../../../secrets")
    (root / "digits/1/c.bin").symlink_to(tmp_path / "models-2/weights.bin")

    version = only(root).versions[1]

    assert [problem.partition(";")[0] for problem in version.problems] == [
        f"'{name}' is a link to somewhere outside of the repository" for name in ("a.bin", "b", "c.bin")
    ]
    assert [stamp.path for stamp in version.fingerprint] == ["a.bin", "c.bin", "model.onnx"]
    assert read_version(root / "digits", 1, flat=False) == (version.fingerprint, version.problems)


def test_a_link_beside_a_flat_model_to_outside_of_the_repository_is_a_problem_too(
    root: Path, tmp_path: Path
) -> None:
    put(tmp_path / "secrets/key")
    put(tmp_path / "shared/config.yaml")
    put(root / "digits/model.onnx")
    (root / "digits/weights.bin").symlink_to(tmp_path / "secrets/key")
    (root / "digits/config.yaml").symlink_to(tmp_path / "shared/config.yaml")

    assert len(only(root).versions[1].problems) == 1
    assert "'weights.bin' is a link" in only(root).versions[1].problems[0]


def test_links_within_the_repository_and_whole_directories_elsewhere_are_followed(
    root: Path, tmp_path: Path
) -> None:
    put(root / "shared/1/weights.bin")
    put(tmp_path / "elsewhere/two/weights.bin")
    put(tmp_path / "elsewhere/three/1/model.onnx")
    put(root / "digits/1/model.onnx")
    (root / "digits/1/weights.bin").symlink_to("../../shared/1/weights.bin")
    (tmp_path / "elsewhere/two/model.onnx").symlink_to("weights.bin")
    (root / "digits/2").symlink_to(tmp_path / "elsewhere/two")
    (root / "three").symlink_to(tmp_path / "elsewhere/three")

    models = scan([root]).models

    assert [version.problems for model in models.values() for version in model.versions.values()] == [()] * 4


def test_a_link_back_to_a_directory_above_ends(root: Path) -> None:
    put(root / "digits/1/model.onnx")
    (root / "digits/1/loop").symlink_to("..")

    assert "'loop/1' links back" in only(root).versions[1].problems[0]


def test_names_that_differ_in_case_only_are_faults_of_both(root: Path) -> None:
    put(root / "Digits/1/model.onnx")
    put(root / "digits/1/model.onnx")

    models = scan([root]).models

    assert models["Digits"].fault == "its name differs from that of 'digits' in case only"
    assert models["digits"].fault == "its name differs from that of 'Digits' in case only"


def test_one_name_in_two_repositories_is_a_fault(root: Path, tmp_path: Path) -> None:
    put(root / "digits/1/model.onnx")
    put(tmp_path / "more/digits/1/model.onnx")

    found = scan([root, tmp_path / "more"])

    assert found.models["digits"].fault == "model appears in two or more repositories"
    assert found.models["digits"].versions == {}


def test_a_repository_that_is_named_twice_is_one(root: Path) -> None:
    put(root / "digits/1/model.onnx")

    assert scan([root, root]).models["digits"].fault == ""


def test_a_missing_repository_is_a_fault_of_it_and_the_others_are_read(root: Path, tmp_path: Path) -> None:
    put(root / "digits/1/model.onnx")

    found = scan([tmp_path / "away", root])

    assert list(found.models) == ["digits"]
    assert found.roots[tmp_path / "away"].fault == "the repository cannot be read: No such file or directory"
    assert found.roots[root].fault == ""


@pytest.mark.parametrize("error", ["ESTALE", "EIO", "EACCES"])
@pytest.mark.parametrize("place", ["digits", "digits/1"])
def test_what_cannot_be_read_is_a_fault_and_not_an_absence(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: str, place: str
) -> None:
    put(root / "digits/1/model.onnx")
    put(root / "fine/1/model.onnx")
    number = int(getattr(errno, error))
    real = os.scandir

    def failing(path: str) -> "os._ScandirIterator[str]":
        if path == str(root / place):
            raise OSError(number, os.strerror(number))
        return real(path)

    monkeypatch.setattr(os, "scandir", failing)

    models = scan([root]).models

    assert models["digits"].fault == f"its files cannot be read: {os.strerror(number)}"
    assert models["fine"].fault == ""


def single(root: Path) -> ModelFiles:
    models = scan([root], "resnet").models
    assert list(models) == ["resnet"]
    return models["resnet"]


def test_a_root_with_a_graph_in_it_is_one_model_if_it_has_a_name(root: Path) -> None:
    put(root / "model.onnx")
    put(root / "config.pbtxt")

    model = single(root)

    assert (model.root, model.path, model.fault) == (root, root, "")
    assert model.versions[1].flat
    assert model.config_file == "config.pbtxt"
    assert read_version(root, 1, flat=True, root=root)[0] == model.versions[1].fingerprint


def test_a_root_with_versions_in_it_is_one_model_if_it_has_a_name(root: Path) -> None:
    put(root / "1/model.onnx")
    put(root / "3/model.onnx")

    model = single(root)

    assert list(model.versions) == [1, 3]
    assert read_version(root, 3, flat=False, root=root)[0] == model.versions[3].fingerprint


def test_a_config_alone_makes_a_root_a_model_without_a_version(root: Path) -> None:
    put(root / "config.pbtxt")

    assert single(root).fault == "it has no version: put its file into 1/model.onnx"


def test_a_root_of_models_is_a_repository_whatever_the_name(root: Path) -> None:
    put(root / "digits/1/model.onnx")
    put(root / "README.md")

    snapshot = scan([root], "resnet")

    assert list(snapshot.models) == ["digits"]
    assert snapshot.models == scan([root]).models


def test_of_a_root_that_is_a_model_the_models_in_it_are_named_as_not_served(root: Path) -> None:
    put(root / "model.onnx")
    put(root / "digits/1/model.onnx")
    put(root / "tokenizer/vocabulary.txt")

    snapshot = scan([root], "resnet")

    assert list(snapshot.models) == ["resnet"]
    assert snapshot.problems == (
        "directory 'digits' is not served: the repository is itself the model 'resnet', because 'model.onnx' "
        "lies in it",
    )


def test_without_a_name_what_lies_in_a_root_is_told_with_the_setting_that_names_it(root: Path) -> None:
    put(root / "model.onnx")

    (problem,) = scan([root]).problems

    assert "move it to model/1/model.onnx" in problem
    assert "single_model_name" in problem


def test_a_root_behind_a_link_is_one_model_too(root: Path, tmp_path: Path) -> None:
    put(root / "1/model.onnx")
    (tmp_path / "mnt").symlink_to(root)

    model = single(tmp_path / "mnt")

    assert (list(model.versions), model.versions[1].problems) == ([1], ())


def test_a_link_out_of_a_root_that_is_a_model_is_refused(root: Path, tmp_path: Path) -> None:
    put(tmp_path / "secret.onnx")
    root.joinpath("model.onnx").symlink_to(tmp_path / "secret.onnx")

    (problem,) = single(root).versions[1].problems

    assert "a link to somewhere outside of the repository" in problem
