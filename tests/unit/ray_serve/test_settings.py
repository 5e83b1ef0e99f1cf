"""What a replica may be told, and what is Ray's to say."""

from pathlib import Path
from typing import Any

import pytest

from onnxd.ray_serve.settings import replica_settings
from onnxd.settings.loading import FaultySettings


def faults(arguments: dict[str, Any], **environment: str) -> tuple[str, ...]:
    with pytest.raises(FaultySettings) as faulty:
        replica_settings(arguments, environment)
    return faulty.value.faults


def test_settings_come_from_arguments_over_the_environment_over_a_file(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("watch: {settle: 3s}\nsimple: {model: of_the_file}\nparallel_loads: 7\n")
    arguments = {
        "config": str(file),
        "settings": {"simple.model": "named", "model_repository": ["a", "b"], "grpc.reflection": False},
    }
    settings = replica_settings(arguments, {"ONNXD_WATCH_SETTLE": "40ms", "ONNXD_SIMPLE_MODEL": "no"})
    assert settings.simple.model == "named"
    assert settings.watch.settle == 0.04
    assert settings.parallel_loads == 7
    assert settings.model_repository == (Path("a"), Path("b"))
    assert not settings.grpc.reflection


def test_a_replica_listens_for_no_scrapes_and_takes_no_control() -> None:
    settings = replica_settings({}, {})
    assert not settings.metrics.enabled
    assert not settings.model_control_api
    assert not settings.settings_api


def test_what_a_replica_does_anyway_may_be_said() -> None:
    said = {
        "model_control_api": False,
        "workers": 1,
        "metrics.enabled": False,
        "shared_memory.enabled": False,
    }
    assert replica_settings({"settings": said}, {}).workers == 1


@pytest.mark.parametrize(
    ("name", "value", "phrase"),
    [
        ("host", "127.0.0.2", "http_options"),
        ("http.port", 80, "http_options"),
        ("grpc.port", 81, "grpc_options"),
        ("grpc.keepalive_time", "5s", "grpc_options"),
        ("workers", 2, "num_replicas"),
        ("shared_memory.enabled", True, "other machines"),
        ("metrics.port", 9000, "metric_export"),
        ("model_control_api", True, "one replica"),
        ("settings_api", True, "one replica"),
        ("identity.pod", "mine", "replica's id"),
    ],
)
def test_what_is_rays_is_refused_with_where_to_say_it(name: str, value: Any, phrase: str) -> None:
    [told] = faults({"settings": {name: value}})
    assert told.startswith(f"args: settings: {name}: {name} is not a replica's: ")
    assert phrase in told


def test_tls_ends_before_the_proxies() -> None:
    told = faults({"settings": {"tls.certificate": "c.pem", "tls.key": "k.pem"}})
    assert all("without TLS" in fault for fault in told)
    assert len(told) == 2


def test_every_fault_is_told() -> None:
    assert len(faults({"settings": {"http.port": 80, "workers": 2}})) == 2
    assert "workers" in faults({}, ONNXD_WORKERS="3")[0]


def test_what_there_is_not_is_refused_by_name() -> None:
    assert faults({"settngs": {}}) == ("args: settngs: expected 'config' or 'settings'",)
    assert faults({"settings": {"no.such": 1}}) == ("args: settings: no.such: there is no such setting",)


def test_a_value_of_the_wrong_kind_is_refused_by_name() -> None:
    [told] = faults({"settings": {"parallel_loads": "many"}})
    assert told.startswith("args: settings: parallel_loads: ")
