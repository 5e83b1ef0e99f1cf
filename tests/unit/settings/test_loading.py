"""Settings from file, environment and flags: who wins, and what is refused in which words."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from onnxd.settings.given import Raw
from onnxd.settings.loading import DEFAULT, FaultySettings, LoadedSettings, load_settings
from onnxd.settings.server_settings import ServerSettings
from onnxd.settings.table import SettingPath


def load(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[SettingPath, Raw] | None = None,
) -> LoadedSettings:
    return load_settings(config=file, environment=environment or {}, flags=flags or {})


def faults(
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[SettingPath, Raw] | None = None,
) -> list[str]:
    with pytest.raises(FaultySettings) as caught:
        load(file=file, environment=environment, flags=flags)
    return list(caught.value.faults)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "server.yaml"


def test_without_any_source_the_defaults_hold() -> None:
    loaded = load(environment={"PATH": "/bin"})

    assert loaded.settings == ServerSettings()
    assert set(loaded.origins.values()) == {DEFAULT}


def test_a_flag_beats_a_variable_which_beats_the_file(file: Path) -> None:
    file.write_text("http: {port: 1000, max_body: 1MiB}\ngrpc: {port: 1001}\nlog: {level: debug}\n")

    loaded = load(
        file=file,
        environment={"ONNXD_HTTP_PORT": "2000", "ONNXD_GRPC_PORT": "2001"},
        flags={("http", "port"): "3000"},
    )

    settings = loaded.settings
    assert (settings.http.port, settings.grpc.port, settings.log.level) == (3000, 2001, "debug")
    assert settings.http.max_body == 2**20
    assert loaded.origins["http", "port"] == "--http-port"
    assert loaded.origins["grpc", "port"] == "ONNXD_GRPC_PORT"
    assert loaded.origins["log", "level"] == f"{file}:3"
    assert loaded.origins["log", "format"] == DEFAULT


def test_every_kind_of_value_can_be_given_as_a_variable() -> None:
    settings = load(
        environment={
            "ONNXD_MODEL_REPOSITORY": "one, two",
            "ONNXD_STATE_DIR": "/var/lib/onnxd",
            "ONNXD_MODEL_CONTROL": "none",
            "ONNXD_GRPC_REFLECTION": "No",
            "ONNXD_GRPC_MAX_MESSAGE": "-1",
            "ONNXD_HTTP_MAX_BODY": "512KiB",
            "ONNXD_DRAIN_LINGER": "250ms",
            "ONNXD_TRACING_SAMPLE_RATIO": "0.25",
            "ONNXD_TRACING_HEADERS": "x-key=a=b,x-team=vision",
        }
    ).settings

    assert settings.model_repository == (Path("one"), Path("two"))
    assert settings.state_dir == Path("/var/lib/onnxd")
    assert settings.model_control == "none"
    assert settings.grpc.reflection is False
    assert (settings.grpc.max_message, settings.http.max_body) == (-1, 512 * 2**10)
    assert settings.drain.linger == 0.25
    assert settings.tracing.sample_ratio == 0.25
    assert settings.tracing.headers == {"x-key": "a=b", "x-team": "vision"}


def test_every_kind_of_value_can_be_given_as_a_flag() -> None:
    settings = load(
        flags={
            ("model_repository",): ("one", "two, with a comma"),
            ("grpc", "reflection"): False,
            ("watch", "settle"): "1.5s",
            ("tracing", "headers"): ("x-key=secret",),
            ("inference", "max_in_flight"): "7",
        }
    ).settings

    assert settings.model_repository == (Path("one"), Path("two, with a comma"))
    assert settings.grpc.reflection is False
    assert settings.watch.settle == 1.5
    assert settings.tracing.headers == {"x-key": "secret"}
    assert settings.inference.max_in_flight == 7


def test_every_kind_of_value_can_be_given_in_the_file(file: Path) -> None:
    file.write_text(
        "model_repository: [one, two]\nload_model: ['*']\nmodel_control: explicit\n"
        "watch: {settle: 1s, polling: true}\ntracing: {sample_ratio: 1, headers: {x-key: '1'}}\n"
        "limits: {max_json_bytes: -1}\n"
    )

    settings = load(file=file).settings

    assert settings.model_repository == (Path("one"), Path("two"))
    assert settings.load_model == ("*",)
    assert (settings.watch.settle, settings.watch.polling) == (1.0, True)
    assert settings.tracing.headers == {"x-key": "1"}
    assert settings.limits.max_json_bytes == -1


def test_a_part_with_all_its_keys_commented_out_says_nothing(file: Path) -> None:
    file.write_text("http:\n  #port: 1\ngrpc:\n")

    assert load(file=file).settings == ServerSettings()


def test_an_empty_file_and_an_empty_variable_say_nothing(file: Path) -> None:
    file.write_text("")

    assert load(file=file, environment={"ONNXD_HTTP_PORT": ""}).settings == ServerSettings()


def test_the_environment_can_name_the_file_and_a_flag_another(file: Path, tmp_path: Path) -> None:
    file.write_text("host: 127.0.1.1\n")
    other = tmp_path / "other.yaml"
    other.write_text("host: 127.0.1.2\n")
    environment = {"ONNXD_CONFIG": str(file)}

    assert load(environment=environment).settings.host == "127.0.1.1"
    assert load(file=other, environment=environment).settings.host == "127.0.1.2"


def test_all_faults_of_all_sources_are_told_at_once(file: Path) -> None:
    file.write_text("http:\n  port: 99999\n  prot: 1\nnonsense: 1\n")

    assert faults(
        file=file,
        environment={"ONNXD_GRPC_PROT": "1", "ONNXD_LOG_LEVEL": "dbug"},
        flags={("grpc", "port"): "x", ("watch", "settle"): "5"},
    ) == [
        f"{file}:2:9: http.port: expected an integer from 0 to 65535, got 99999",
        f"{file}:3:3: http.prot: unknown key; did you mean port?",
        f"{file}:4:1: nonsense: unknown key; the keys here are model_repository, model_control, "
        "model_control_api, settings_api, model_overrides, max_brought_models, load_model, exit_on_error, "
        "strict_readiness, ready_models, single_model_name, parallel_loads, lazy_load, state_dir, workers, "
        "host, insecure, tls, auth, jwt, rate, fairness, overload, http, grpc, metrics, metric_export, "
        "simple, watch, object_store, batching, inference, threads, memory, trial, isolation, limits, "
        "shared_memory, tracing, recent, recorder, log, audit, identity, drain",
        "ONNXD_GRPC_PROT: unknown variable; did you mean ONNXD_GRPC_PORT?",
        "ONNXD_LOG_LEVEL: expected one of debug, info, warning, error, got 'dbug'; did you mean debug?",
        "--grpc-port: expected an integer from 0 to 65535, got 'x'",
        "--watch-settle: expected a duration with a unit (us, ms, s, m, h), such as '5ms', got '5'",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ONNXD_GRPC_REFLECTION", "maybe", "expected true or false, got 'maybe'"),
        ("ONNXD_HTTP_PORT", "-1", "expected an integer from 0 to 65535, got -1"),
        ("ONNXD_HTTP_PORT", "8000.5", "expected an integer from 0 to 65535, got '8000.5'"),
        ("ONNXD_HTTP_MAX_BODY", "64", None),
        ("ONNXD_HTTP_MAX_BODY", "64XB", "expected a size with a unit"),
        ("ONNXD_TRACING_SAMPLE_RATIO", "nan", "got"),
        ("ONNXD_IDENTITY_POD", "pod\r\nx-evil: 1", "expected at most 253 letters"),
        ("ONNXD_IDENTITY_NODE", "n" * 254, "expected at most 253 letters"),
        ("ONNXD_SINGLE_MODEL_NAME", "../x", "model name '../x' is not valid"),
        ("ONNXD_READY_MODELS", "a,,b", "model name '' is not valid"),
        ("ONNXD_PARALLEL_LOADS", "0", "expected an integer of at least 1, got 0"),
        ("ONNXD_MODEL_CONTROL", "pol", "expected one of watch, explicit, none, got 'pol'"),
    ],
    ids=lambda value: str(value),
)
def test_a_wrong_value_is_told_with_what_was_expected_and_what_came(
    variable: str, value: str, expected: str | None
) -> None:
    if expected is None:
        load(environment={variable: value})
        return
    (fault,) = faults(environment={variable: value})

    assert fault.startswith(f"{variable}: ")
    assert expected in fault


def test_a_variable_that_is_like_none_gets_a_way_to_the_list() -> None:
    assert faults(environment={"ONNXD_ZZZZZZ": "1"}) == [
        "ONNXD_ZZZZZZ: unknown variable; `onnxd serve --help` lists the settings"
    ]


def test_the_address_for_the_client_commands_is_no_unknown_variable() -> None:
    assert load(environment={"ONNXD_URL": "http://127.0.0.1:8000"}).settings == ServerSettings()


def test_what_kubernetes_sets_for_a_service_named_onnxd_is_no_unknown_variable() -> None:
    links = {
        "ONNXD_SERVICE_HOST": "127.0.1.1",
        "ONNXD_SERVICE_PORT_HTTP": "8000",
        "ONNXD_PORT": "tcp://127.0.1.1:8000",
        "ONNXD_PORT_8000_TCP_ADDR": "127.0.1.1",
    }

    assert load(environment={"KUBERNETES_SERVICE_HOST": "127.0.1.2", **links}).settings == ServerSettings()
    assert len(faults(environment=links)) == 4


def test_a_kubernetes_service_whose_variable_is_a_setting_is_explained() -> None:
    (fault,) = faults(environment={"ONNXD_HTTP_PORT": "tcp://127.0.1.1:80"})

    assert "enableServiceLinks: false" in fault


def test_secrets_are_not_in_the_words_of_a_fault(file: Path) -> None:
    file.write_text("tracing:\n  headers: {X-Key: hunter2}\n")

    told = faults(
        file=file,
        environment={"ONNXD_TRACING_HEADERS": "hunter2"},
        flags={("tracing", "headers"): ("X-Key=hunter2",)},
    )

    assert len(told) == 3
    assert "hunter2" not in "\n".join(told)


def test_secrets_are_not_in_the_repr_of_the_settings() -> None:
    loaded = load(environment={"ONNXD_TRACING_HEADERS": "x-key=hunter2"})

    assert loaded.settings.tracing.headers == {"x-key": "hunter2"}
    assert "hunter2" not in repr(loaded)


def test_two_listeners_on_one_port_are_told_by_the_one_that_was_set() -> None:
    (fault,) = faults(environment={"ONNXD_HTTP_PORT": "8001"})

    assert fault.startswith("ONNXD_HTTP_PORT: http.port: 8001 is the port of the other listener too")
    assert fault.endswith("(grpc.port, default)")


def test_two_listeners_may_both_take_any_free_port() -> None:
    settings = load(environment={"ONNXD_HTTP_PORT": "0", "ONNXD_GRPC_PORT": "0"}).settings

    assert (settings.http.port, settings.grpc.port) == (0, 0)


def test_lazy_loads_are_of_one_process() -> None:
    (fault,) = faults(flags={("lazy_load",): True, ("workers",): "2"})
    assert "lazy_load: needs workers: 1" in fault


def test_models_to_load_at_the_start_need_explicit_control() -> None:
    (fault,) = faults(flags={("load_model",): ("digits",)})

    assert fault.startswith("--load-model: load_model: needs model_control explicit")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"http: ]", ":1:7: not YAML"),
        (b"http: {port: \xff}", ":1:14: not UTF-8 text"),
        (b"- a", ":1:1: expected a mapping"),
        (b"http: 5", ":1:7: http: expected a mapping, got 5"),
        (b"host:", ":1:6: host: has no value"),
        (b"http: {port: 1, port: 2}", ":1:17: http.port: given twice"),
    ],
    ids=["stray bracket", "not text", "a list", "a part that is a number", "no value", "a key twice"],
)
def test_a_file_that_is_not_what_it_should_be_is_a_fault_with_its_place(
    file: Path, content: bytes, expected: str
) -> None:
    file.write_bytes(content)

    assert any(fault.startswith(f"{file}{expected}") for fault in faults(file=file))


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"

    assert faults(file=missing) == [f"{missing}: there is no such file"]
    assert faults(file=tmp_path) == [f"{tmp_path}: expected a file, got a directory"]


def test_the_metrics_need_a_port_of_their_own_where_one_is_set() -> None:
    (fault,) = faults(environment={"ONNXD_METRICS_PORT": "8001"})

    assert fault.startswith("ONNXD_METRICS_PORT: metrics.port: 8001 is the port of another listener too")
    load(environment={"ONNXD_METRICS_PORT": "8001", "ONNXD_METRICS_ENABLED": "false"})
    load(environment={"ONNXD_METRICS_PORT": "0", "ONNXD_HTTP_PORT": "0"})
