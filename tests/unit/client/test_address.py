import re

import pytest

from onnxd_client.address import Address


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        pytest.param("http://127.0.0.1:8000", "127.0.0.1:8000", "", id="plain"),
        pytest.param("https://models.example/", "models.example", "", id="no port, slash at the end"),
        pytest.param("http://host:80/behind/proxy/", "host:80", "/behind/proxy", id="a prefix"),
        pytest.param("grpc://[::1]:8001", "[::1]:8001", "", id="IPv6"),
        pytest.param("grpcs://models.example:443", "models.example:443", "", id="gRPC over TLS"),
    ],
)
def test_a_url_is_read(url: str, authority: str, path: str) -> None:
    address = Address.parse(url)
    assert (address.authority, address.path) == (authority, path)
    assert address.secure is url.split(":")[0].endswith("s")


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        pytest.param("127.0.0.1:8000", 'did you mean "http://127.0.0.1:8000"', id="bare address"),
        pytest.param("localhost:8001", 'did you mean "grpc://localhost:8001"', id="bare gRPC port"),
        pytest.param("ftp://host", "expected one of http, https, grpc, grpcs", id="another scheme"),
        pytest.param("grpc://host", 'did you mean "grpc://host:8001"', id="gRPC without a port"),
        pytest.param("grpc://host:8001/v2", 'leave out "/v2"', id="gRPC with a path"),
        pytest.param("http://:8000", "names no host", id="no host"),
        pytest.param("http://host:port", "no usable port", id="a port that is no number"),
        pytest.param("http://user:secret@host", "headers=", id="credentials in the URL"),
        pytest.param("http://host?x=1", "leave out query", id="a query"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_a_suggestion(url: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        Address.parse(url)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:1", True),
        ("http://127.8.9.1:1", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1:1", False),
        ("http://models.example", False),
    ],
)
def test_loopback_is_told_by_the_name_alone(url: str, loopback: bool) -> None:
    assert Address.parse(url).loopback is loopback
