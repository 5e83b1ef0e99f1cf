"""Who is on the server's own machine, by address."""

import pytest

from onnxd.security.peer import grpc_peer_address, is_loopback


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_address_is_the_machines_own(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.7", "::", "fe80::1%eth0", "::ffff:10.0.0.7", "localhost", "", "127.0.0.1:80", None],
    ids=str,
)
def test_F1_any_other_address_is_not(address: str | None) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:127.0.0.1:50051", "127.0.0.1"),
        ("ipv4:10.0.0.7:1", "10.0.0.7"),
        ("ipv6:[::1]:50051", "::1"),
        ("ipv6:%5B::1%5D:50051", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:1", "fe80::1%eth0"),
        ("unix:/run/x", ""),
        ("unix:127.0.0.1:1", ""),
        ("", ""),
        ("ipv4:", ""),
    ],
)
def test_grpcs_name_of_a_peer_has_its_address(peer: str, address: str) -> None:
    assert grpc_peer_address(peer) == address
