"""Which keys become files, and which are refused by name."""

import pytest

from onnxd.repository.object_store.listing import Bounds, Listing, RemoteObject, RemoteRepository, arrange

UNBOUNDED = Bounds(-1, -1)


def seen(*keys: str, bounds: Bounds = UNBOUNDED, single: str = "", **unsafe: str) -> RemoteRepository:
    return arrange(Listing([RemoteObject(key, 10, '"1"') for key in keys], unsafe), bounds, single)


def test_the_first_part_of_a_key_names_the_model_and_the_rest_its_file() -> None:
    remote = seen("b/2/model.onnx", "a/config.yaml", "a/1/model.onnx")

    assert {name: list(model.files) for name, model in remote.models.items()} == {
        "a": ["1/model.onnx", "config.yaml"],
        "b": ["2/model.onnx"],
    }
    assert remote.models["a"].files["config.yaml"].key == "a/config.yaml"
    assert (remote.refused, remote.problems) == ({}, ())


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        (("a/../b",), "a part of it is '..'"),
        (("a/./b",), "a part of it is '.'"),
        (("a/1/x/../../../../etc/passwd",), "a part of it is '..'"),
        (("a//etc/passwd",), "a part of it is empty"),
        (("a/x\x00y",), "a control character"),
        (("a/x\ny",), "a control character"),
        (("a/x\u202ey",), "a control character"),
        (("a/x\\..\\y",), "a backslash"),
        (("a/" + "x" * 256,), "longer than 255 bytes"),
        (("a/" + "ä" * 128,), "longer than 255 bytes"),
        (("a/" + "x/" * 40 + "y",), "more than 32 parts"),
        (("a/" + ("x" * 200 + "/") * 11 + "y",), "longer than 2048 bytes"),
        (("a/1/model.onnx", "a/1/MODEL.onnx"), "differ in case only"),
        (("a/x/y", "a/X/z"), "differ in case only"),
        (("a/x", "a/x/y"), "a file and a directory"),
        (("a/x", "a/X/y"), "a file and a directory"),
    ],
)
def test_a_model_with_a_key_that_can_be_no_file_is_refused_whole_and_others_are_not(
    keys: tuple[str, ...], why: str
) -> None:
    remote = seen("a/1/other.onnx", *keys, "good/1/model.onnx")

    assert list(remote.models) == ["good"]
    assert why in remote.refused["a"]
    assert "\n" not in remote.refused["a"]


@pytest.mark.parametrize("key", ["../a/b", "/a/b", "\x00/a", "a b/c", "-a/b", "a..b/c", "x" * 129 + "/y"])
def test_keys_under_what_no_model_can_be_called_are_a_problem_for_the_log(key: str) -> None:
    remote = seen(key, "good/1/model.onnx")

    assert list(remote.models) == ["good"]
    assert remote.refused == {}
    (problem,) = remote.problems
    assert "are not taken" in problem
    assert problem.isprintable()


def test_models_that_differ_in_case_only_are_both_refused() -> None:
    remote = seen("a/1/model.onnx", "A/1/model.onnx")

    assert remote.models == {}
    assert remote.refused == {
        "A": "its name differs from that of 'a' in case only",
        "a": "its name differs from that of 'A' in case only",
    }


def test_empty_objects_that_stand_for_directories_are_no_files() -> None:
    markers = [RemoteObject(key, 0, '"0"') for key in ("a", "a/", "a/1", "a/1/")]
    remote = arrange(Listing([*markers, RemoteObject("a/1/model.onnx", 10, '"1"')]), UNBOUNDED)

    assert list(remote.models["a"].files) == ["1/model.onnx"]
    assert (remote.refused, remote.problems) == ({}, ())


def test_an_empty_file_is_a_file() -> None:
    remote = arrange(Listing([RemoteObject("a/labels.txt", 0, '"0"')]), UNBOUNDED)

    assert list(remote.models["a"].files) == ["labels.txt"]


def test_what_a_scan_would_pass_over_is_not_downloaded() -> None:
    remote = seen("a/1/model.onnx", "a/1/model.onnx.tmp", "a/.git/config", ".hidden/1/model.onnx", "a/x~")

    assert list(remote.models) == ["a"]
    assert list(remote.models["a"].files) == ["1/model.onnx"]


def test_a_graph_directly_under_the_prefix_is_told_where_it_belongs() -> None:
    (problem,) = seen("model.onnx").problems

    assert "NAME/1/model.onnx" in problem


@pytest.mark.parametrize("keys", [("model.onnx", "config.yaml"), ("1/model.onnx", "config.yaml")])
def test_a_prefix_that_is_one_model_has_the_name_that_the_settings_say(keys: tuple[str, ...]) -> None:
    remote = seen(*keys, single="resnet")

    assert list(remote.models) == ["resnet"]
    assert sorted(each.key for each in remote.models["resnet"].files.values()) == sorted(keys)


def test_a_name_for_one_model_does_nothing_to_a_repository_of_many() -> None:
    assert list(seen("a/1/model.onnx", "b/1/model.onnx", single="resnet").models) == ["a", "b"]


def test_what_cannot_be_listed_is_refused_and_so_is_what_was_listed_of_it() -> None:
    remote = seen("a/1/model.onnx", "b/1/model.onnx", a="its keys are bad")

    assert list(remote.models) == ["b"]
    assert remote.refused == {"a": "its keys are bad"}


def test_a_model_with_too_large_an_object_is_refused() -> None:
    remote = seen("a/1/model.onnx", bounds=Bounds(9, -1))

    assert "more than 9 B (setting object_store.max_object_bytes)" in remote.refused["a"]


def test_models_are_taken_by_name_until_the_bound_of_all_is_reached() -> None:
    remote = seen("a/1/x", "b/1/x", "b/1/y", "c/1/x", bounds=Bounds(-1, 20))

    assert list(remote.models) == ["a", "c"]
    assert "over 20 B (setting object_store.max_bytes)" in remote.refused["b"]


def test_a_model_is_another_when_an_object_has_another_etag_size_or_name() -> None:
    def digest(*objects: RemoteObject) -> str:
        return arrange(Listing(objects), UNBOUNDED).models["a"].digest

    base = RemoteObject("a/x", 1, '"1"')
    others = [
        [RemoteObject("a/x", 1, '"2"')], [RemoteObject("a/x", 2, '"1"')], [RemoteObject("a/y", 1, '"1"')],
        [base, RemoteObject("a/y", 1, '"1"')],
    ]  # fmt: skip

    assert digest(base) == digest(base)
    assert digest(base) not in {digest(*each) for each in others}
