"""What a listing asks for, and what a second one bears out."""

from onnxd.repository.object_store.listing import Bounds, Listing, RemoteObject, RemoteRepository, arrange
from onnxd.repository.object_store.sync_plan import confirm, sync_plan


def remote(**models: str) -> RemoteRepository:
    """Of models of one file, by its ETag; "!" = a key that cannot be a file."""
    objects = [
        RemoteObject(f"{name}/.." if tag == "!" else f"{name}/model.onnx", 1, tag)
        for name, tag in models.items()
    ]
    return arrange(Listing(objects), Bounds(-1, -1))


def local(**models: str) -> dict[str, str]:
    return {name: model.digest for name, model in remote(**models).models.items()}


def taken(seen: RemoteRepository, copied: dict[str, str]) -> list[str]:
    return [model.name for model in sync_plan(seen, copied).take]


def test_what_is_new_or_another_is_taken_and_the_rest_is_left() -> None:
    assert taken(remote(a="1", b="2", c="1"), local(a="1", b="1")) == ["b", "c"]


def test_when_all_is_as_it_was_there_is_nothing_to_do() -> None:
    assert sync_plan(remote(a="1"), local(a="1")).nothing
    assert sync_plan(remote(), {}).nothing


def test_what_is_gone_is_removed() -> None:
    assert sync_plan(remote(a="1"), local(a="1", b="1", c="1")).remove == ("b", "c")


def test_a_refused_model_is_neither_taken_nor_removed() -> None:
    plan = sync_plan(remote(a="!"), local(a="1"))

    assert plan.nothing
    assert not plan.emptied


def test_nothing_is_removed_when_everything_is_gone() -> None:
    plan = sync_plan(remote(), local(a="1"))

    assert plan.emptied
    assert plan.nothing


def test_an_empty_repository_that_never_was_another_is_just_empty() -> None:
    assert not sync_plan(remote(), {}).emptied


def test_what_is_the_same_in_both_listings_is_swapped_in() -> None:
    plan = sync_plan(remote(a="1", b="1"), {})
    confirmed = confirm(plan, remote(a="1", b="2"))

    assert [model.name for model in confirmed.swap] == ["a"]
    assert confirmed.moving == ("b",)


def test_what_is_gone_or_refused_in_the_second_listing_waits() -> None:
    plan = sync_plan(remote(a="1", b="1", c="1"), {})

    assert confirm(plan, remote(b="!", c="1")).moving == ("a", "b")


def test_a_removal_counts_when_both_listings_are_without_it() -> None:
    plan = sync_plan(remote(a="1"), local(a="1", b="1", c="1"))
    confirmed = confirm(plan, remote(a="1", c="1"))

    assert confirmed.remove == ("b",)
    assert confirmed.moving == ("c",)


def test_a_second_listing_that_is_empty_removes_nothing() -> None:
    plan = sync_plan(remote(a="1"), local(a="1", b="1"))

    assert confirm(plan, remote()).remove == ()
