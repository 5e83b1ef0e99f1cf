"""The table of settings: complete, unambiguous, and named alike everywhere."""

from pathlib import Path

from onnxd.settings.names import CONFIG_VARIABLE, URL_VARIABLE
from onnxd.settings.table import Form, Kind, parts, settings_by_path

SETTINGS = settings_by_path()


def test_every_setting_has_its_line_of_help() -> None:
    assert [setting.name for setting in SETTINGS.values() if not setting.doc] == []


def test_every_part_says_what_it_is() -> None:
    assert [part.name for part in parts() if not part.doc] == []


def test_a_setting_has_the_same_name_in_the_file_the_environment_and_on_the_command_line() -> None:
    port = SETTINGS["http", "port"]

    assert (port.name, port.variable, port.flag) == ("http.port", "ONNXD_HTTP_PORT", "--http-port")
    assert SETTINGS["model_repository",].flag == "--model-repository"


def test_no_two_settings_share_a_flag_or_a_variable() -> None:
    flags = [flag for each in SETTINGS.values() for flag in (each.flag, each.negative_flag) if flag]
    variables = [each.variable for each in SETTINGS.values()]

    assert len(set(flags)) == len(flags)
    assert len(set(variables)) == len(variables)
    assert not {CONFIG_VARIABLE, URL_VARIABLE}.intersection(variables)
    assert not {"--config", "--help", "--changed"}.intersection(flags)


def test_types_defaults_and_choices_come_from_the_dataclasses() -> None:
    repository, control = SETTINGS["model_repository",], SETTINGS["model_control",]

    assert (repository.kind, repository.form) == (Kind.PATH, Form.LIST)
    assert repository.default == (Path("model_repository"),)
    assert (control.kind, control.choices) == (Kind.CHOICE, ("watch", "explicit", "none"))
    assert SETTINGS["http", "max_body"].kind is Kind.SIZE
    assert SETTINGS["drain", "grace"].kind is Kind.DURATION
    assert SETTINGS["grpc", "reflection"].kind is Kind.TRUTH
    assert SETTINGS["tracing", "endpoint"].kind is Kind.TEXT
    assert SETTINGS["tracing", "headers"].form is Form.MAPPING


def test_what_a_dataclass_keeps_out_of_its_repr_is_a_secret() -> None:
    assert [setting.name for setting in SETTINGS.values() if setting.secret] == [
        "auth.restricted_api",
        "metric_export.headers",
        "tracing.headers",
    ]
