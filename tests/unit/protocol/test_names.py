"""Names, versions and ids: the allow-lists."""

import pytest

from onnxd.errors import InvalidName
from onnxd.protocol.names import check_model_name, parse_version


@pytest.mark.parametrize(
    "name", ["m.1", "m-1", "M_1", "1", "a", "a" * 128], ids=lambda name: f"B4-{name[:8]}"
)
def test_a_legal_odd_name_passes(name: str) -> None:
    assert check_model_name(name) == name


BAD_NAMES = {
    "B1-dot-dot": "..",
    "B1-dot": ".",
    "B1-parent": "a/../b",
    "B1-absolute": "/etc/passwd",
    "B1-trailing-slash": "m/",
    "B1-backslash": "\\..\\x",
    "B1-dot-dot-inside": "a..b",
    "B2-encoded-once-more": "%2e%2e",
    "B2-decoded": "../../etc",
    "B2-overlong": "\u00c0\u00ae",
    "B3-nul": "a\x00b",
    "B3-newline": "a\nb",
    "B3-trailing-newline": "a\n",
    "B3-not-utf-8": "\udcff",
    "B3-bidi": "a\u202eb",
    "B3-1-MB": "a" * 2**20,
    "B3-129": "a" * 129,
    "B3-empty": "",
    "B3-blanks": "  ",
    "B3-tab": "a\tb",
    "B3-letters-of-another-script": "модель",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_a_name_outside_the_pattern_is_refused_without_echoing_controls(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        check_model_name(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


BAD_VERSIONS = {
    "B6-zero": "0",
    "B6-negative": "-1",
    "B6-leading-zero": "01",
    "B6-fraction": "1.0",
    "B6-word": "abc",
    "B6-2^63": str(2**63),
    "B6-blank": " 1",
    "B6-newline": "1\n",
    "B6-1000-digits": "1" * 1000,
    "B6-other-digits": "٣",
}


@pytest.mark.parametrize("version", BAD_VERSIONS.values(), ids=BAD_VERSIONS.keys())
def test_a_version_that_is_no_positive_integer_is_refused(version: str) -> None:
    with pytest.raises(InvalidName):
        parse_version(version)


def test_a_version_is_a_number_or_nothing() -> None:
    assert parse_version("") is None
    assert parse_version("12") == 12
    assert parse_version("9" * 18) == 10**18 - 1
