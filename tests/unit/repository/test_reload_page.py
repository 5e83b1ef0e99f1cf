"""What only a page can say."""

from tests.support.server import ROOT


def test_the_page_says_that_subpath_is_never_updated() -> None:
    page = (ROOT / "docs" / "reload.md").read_text()
    assert "With **`subPath`** the kubelet never updates the files" in page
