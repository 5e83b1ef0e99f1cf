"""Which providers a session ends up on, and what is said of it."""

from pathlib import Path

import pytest

from onnxd.errors import LoadFailed
from onnxd.runtime.ort import onnxruntime
from onnxd.runtime.session_config import SessionConfig
from onnxd.runtime.session_start import start_session
from tests.support import graphs

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(graphs.add_one())
    return tmp_path / "model.onnx"


def test_a_provider_that_is_not_there_fails_the_load(path: Path) -> None:
    with pytest.raises(LoadFailed, match=f"'NoSuchProvider' is not available here; available: .*{CPU}"):
        start_session(path, SessionConfig(providers=("NoSuchProvider", CPU)), 1, None)


def test_with_the_fallback_the_next_is_taken_and_said(path: Path) -> None:
    config = SessionConfig(providers=("NoSuchProvider", CPU), provider_fallback="next")
    started = start_session(path, config, 1, None)
    assert started.session.get_providers() == [CPU]
    assert started.notes == (
        f"provider NoSuchProvider cannot be had here, so it runs on {CPU} (provider_fallback: next)",
    )


def test_a_required_provider_has_no_fallback(path: Path) -> None:
    config = SessionConfig(
        providers=("NoSuchProvider", CPU), require_provider="NoSuchProvider", provider_fallback="next"
    )
    with pytest.raises(LoadFailed, match="'NoSuchProvider' is not available here"):
        start_session(path, config, 1, None)


def test_where_none_is_left_the_first_is_refused(path: Path) -> None:
    config = SessionConfig(providers=("NoSuchProvider",), provider_fallback="next")
    with pytest.raises(LoadFailed, match="'NoSuchProvider' is not available here"):
        start_session(path, config, 1, None)


def test_on_the_cpu_alone_there_is_nothing_to_say(path: Path) -> None:
    assert start_session(path, SessionConfig(), 1, None).notes == ()


@pytest.fixture
def broken_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package has CUDA and the machine has not: it is listed, and the session is not on it."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


@pytest.mark.usefixtures("broken_cuda")
@pytest.mark.filterwarnings("ignore:Specified provider")
class TestAProviderThatIsListedAndDoesNotStart:
    def test_fails_the_load(self, path: Path) -> None:
        with pytest.raises(LoadFailed, match=f"did not start {CUDA}; the session would have run on {CPU}"):
            start_session(path, SessionConfig(providers=(CUDA, CPU)), 1, None)

    def test_is_passed_over_with_the_fallback(self, path: Path) -> None:
        config = SessionConfig(providers=(CUDA, CPU), provider_fallback="next")
        started = start_session(path, config, 1, None)
        assert started.session.get_providers() == [CPU]
        assert started.notes[0].startswith(f"provider {CUDA} cannot be had here, so it runs on {CPU}")

    def test_has_no_fallback_where_it_is_required(self, path: Path) -> None:
        config = SessionConfig(providers=(CUDA, CPU), require_provider=CUDA, provider_fallback="next")
        with pytest.raises(LoadFailed, match=f"did not start {CUDA}"):
            start_session(path, config, 1, None)

    def test_is_no_excuse_for_a_broken_model(self, path: Path) -> None:
        path.write_bytes(graphs.unknown_op())
        config = SessionConfig(providers=(CUDA, CPU), provider_fallback="next")
        with pytest.raises(LoadFailed, match="NoSuchOperator"):
            start_session(path, config, 1, None)
