"""Which versions are served."""

import pytest

from onnxd.repository.version_policy import ALL_VERSIONS, VersionPolicy, parse_version_policy


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (VersionPolicy(), (10,)),
        (VersionPolicy(latest=2), (9, 10)),
        (VersionPolicy(latest=7), (1, 9, 10)),
        (ALL_VERSIONS, (1, 9, 10)),
        (VersionPolicy(latest=None, only=(1, 10)), (1, 10)),
        (VersionPolicy(latest=None, only=(2,)), ()),
    ],
)
def test_a_policy_selects_of_what_is_there(policy: VersionPolicy, expected: tuple[int, ...]) -> None:
    assert policy.select([10, 9, 1]) == expected
    assert policy.select([]) == ()


def test_a_listed_version_that_is_not_there_is_left_out() -> None:
    assert parse_version_policy([1, 7]).select([1, 2]) == (1,)


@pytest.mark.parametrize("value", [True, 1, "latest", {"latest": True}, [True], [1, "2"], [2**63], {}, None])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_version_policy(value)
