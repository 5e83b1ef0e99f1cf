"""Whom an admin request comes from, and whom it was meant for."""

import pytest

from onnxd.errors import PermissionDenied
from onnxd.security.origin import check_origin


@pytest.mark.parametrize("listening_on", ["127.0.0.1", "localhost", "::1", "127.0.0.7"])
@pytest.mark.parametrize(
    "host", [None, "localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000"]
)
def test_loopback_names_are_ours_when_we_listen_there(listening_on: str, host: str | None) -> None:
    check_origin(listening_on=listening_on, host=host, origin=None)


@pytest.mark.parametrize(
    "host", ["evil", "evil:8000", "localhost.evil", "127.0.0.1.evil", "[bad", "", "0x7f.1"]
)
def test_other_names_are_not_when_we_listen_there(host: str) -> None:
    with pytest.raises(PermissionDenied, match="loopback name"):
        check_origin(listening_on="127.0.0.1", host=host, origin=None)


@pytest.mark.parametrize("listening_on", ["0.0.0.0", "::", "10.1.2.3", "models.example"])  # noqa: S104 - a name
def test_any_name_will_do_when_we_listen_to_the_world(listening_on: str) -> None:
    check_origin(listening_on=listening_on, host="models.example", origin=None)


def test_a_page_of_our_own_origin_is_allowed() -> None:
    check_origin(listening_on="127.0.0.1", host="localhost:8000", origin="http://LOCALHOST:8000")


@pytest.mark.parametrize(
    "origin", ["http://evil", "null", "", "http://localhost", "http://localhost:1", "http://["]
)
def test_a_page_of_another_origin_is_not(origin: str) -> None:
    with pytest.raises(PermissionDenied, match="other origins"):
        check_origin(listening_on="127.0.0.1", host="localhost:8000", origin=origin)


def test_an_origin_without_a_host_proves_nothing() -> None:
    with pytest.raises(PermissionDenied):
        check_origin(listening_on="0.0.0.0", host=None, origin="http://localhost")  # noqa: S104 - a name
