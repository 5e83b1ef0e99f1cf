"""The small parts of a replica: its devices, its state directory, the services that proxies are told of."""

import contextlib
from pathlib import Path
from typing import Any

import grpc
import pytest

from onnxd.ray_serve.devices import DevicesUnusable, check_devices, cpu_share
from onnxd.ray_serve.services import add_to_proxy, stream_paths, unary_paths
from onnxd.ray_serve.state import own_directory
from onnxd.repository.store import StateDirectoryUnusable
from onnxd_protos.services import SERVICES

CPU_ONLY = ("CPUExecutionProvider",)
CUDA = ("CUDAExecutionProvider", "CPUExecutionProvider")


def test_a_share_of_a_gpu_is_refused_where_none_can_be_used() -> None:
    with pytest.raises(
        DevicesUnusable, match=r"was given 0\.25 GPUs .*num_gpus.*CPUExecutionProvider.*'gpu'"
    ):
        check_devices({"CPU": 1.0, "GPU": 0.25}, CPU_ONLY)


@pytest.mark.parametrize(
    ("assigned", "providers"), [({"CPU": 1.0}, CPU_ONLY), ({"GPU": 0.0}, CPU_ONLY), ({"GPU": 0.25}, CUDA)]
)
def test_devices_that_can_be_used_are_fine(assigned: dict[str, float], providers: tuple[str, ...]) -> None:
    check_devices(assigned, providers)


@pytest.mark.parametrize(("cpus", "threads"), [(0.0, 1), (0.5, 1), (1.0, 1), (3.9, 3)])
def test_models_have_the_cpus_that_ray_counts(cpus: float, threads: int) -> None:
    assert cpu_share({"CPU": cpus}) == threads


def test_replicas_have_directories_of_their_own_and_inherit_them(tmp_path: Path) -> None:
    with contextlib.ExitStack() as first:
        assert first.enter_context(own_directory(tmp_path / "state")) == tmp_path / "state/ray-0"
        with own_directory(tmp_path / "state") as second:
            assert second == tmp_path / "state/ray-1"
            first.close()
            with own_directory(tmp_path / "state") as third:
                assert third == tmp_path / "state/ray-0"


def test_a_state_directory_that_cannot_be_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StateDirectoryUnusable, match=r"file/state.*state_dir"),
        own_directory(tmp_path / "file/state"),
    ):
        raise AssertionError("entered")


def test_every_method_of_ours_is_registered_to_take_bytes() -> None:
    registered: dict[str, Any] = {}

    class Server:
        def add_generic_rpc_handlers(self, handlers: Any) -> None:
            registered.update(handlers[0]._method_handlers)

    class Servicer:
        def __getattr__(self, name: str) -> Any:
            return name

    add_to_proxy(Servicer(), Server())
    ours = {method.path: method for methods in SERVICES.values() for method in methods.values()}
    assert set(ours) <= set(registered)
    for path, handler in registered.items():
        assert isinstance(handler, grpc.RpcMethodHandler)
        assert handler.request_deserializer is None
        if path in ours:
            assert handler.request_streaming is ours[path].client_streaming


def test_no_two_methods_share_a_name() -> None:
    """A proxy chooses the replica's method by the last word of the path."""
    assert not set(unary_paths()) & set(stream_paths())
    names = [name for methods in SERVICES.values() for name in methods]
    assert len(names) == len(set(names))
