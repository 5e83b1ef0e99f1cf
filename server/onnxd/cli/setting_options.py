"""Command line options made from the table of settings, and the settings made from them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from onnxd.cli.mistake import Mistake
from onnxd.repository.typed_document import suggestion
from onnxd.settings.given import Raw
from onnxd.settings.loading import FaultySettings, LoadedSettings, load_settings
from onnxd.settings.names import CONFIG_VARIABLE
from onnxd.settings.table import Form, Kind, Setting, SettingPath, parts, settings_by_path
from onnxd.settings.written import as_words

_CONFIG = "config"


class SettingsError(Mistake):
    """The settings cannot be used: every fault of every source, one a line."""

    def __init__(self, faults: list[str]) -> None:
        count = "the settings have a fault" if len(faults) == 1 else f"the settings have {len(faults)} faults"
        super().__init__("\n  ".join((f"{count}:", *faults)))


class SettingOption(click.Option):
    """The option of one setting."""

    def __init__(self, setting: Setting) -> None:
        flags = setting.flag if setting.negative_flag is None else f"{setting.flag}/{setting.negative_flag}"
        default = [] if setting.default in (None, (), {}) else [f"[{as_words(setting, setting.default)}]"]
        # Any text is taken, as flags, variables and file are checked together; a switch takes none.
        kind: dict[str, Any] = {"is_flag": True}
        if setting.kind is not Kind.TRUTH:
            kind = {
                "type": click.STRING,
                "metavar": _metavar(setting),
                "multiple": setting.form is not Form.ONE,
                "shell_complete": _completion(setting),
            }
        super().__init__(
            [flags, parameter_name(setting.path)],
            default=None,
            help=" ".join((setting.doc, *default)),
            **kind,
        )
        self.setting = setting


class SettingsCommand(click.Command):
    """A command that takes every setting as an option, grouped by part in its help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Unknown options are collected, so that they are told together with all other faults.
        self.ignore_unknown_options = True
        self.allow_extra_args = True
        self.params.append(config_option())
        self.params += [SettingOption(setting) for setting in settings_by_path().values()]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for part in parts():
            options = [option for option in self.params if _part_of(option) == part.name]
            records = [record for option in options if (record := option.get_help_record(ctx))]
            with formatter.section(part.name.upper() if part.name else "Server"):
                formatter.write_dl(records)
        others = [option for option in self.get_params(ctx) if _part_of(option) is None]
        with formatter.section("Options"):
            formatter.write_dl([record for option in others if (record := option.get_help_record(ctx))])


def config_option() -> click.Option:
    return click.Option(
        ["--config", _CONFIG],
        type=click.Path(path_type=Path),
        help=f"A YAML file of settings, such as config/server.yaml; also {CONFIG_VARIABLE}.",
    )


def loaded_settings(ctx: click.Context) -> LoadedSettings:
    """The settings that the command line, the environment and the file give. Raises SettingsError."""
    unknown = unknown_arguments(ctx)
    try:
        loaded = load_settings(config=ctx.params[_CONFIG], environment=os.environ, flags=_given_flags(ctx))
    except FaultySettings as error:
        raise SettingsError([*error.faults, *unknown]) from error
    if unknown:
        raise SettingsError(unknown)
    return loaded


def unknown_arguments(ctx: click.Context) -> list[str]:
    """A line for each argument that is no option of the command."""
    known = [option for param in ctx.command.params for option in (*param.opts, *param.secondary_opts)]
    faults = []
    value_expected = False
    for argument in ctx.args:
        if argument.startswith("-") and argument != "-":
            flag, equals, _ = argument.partition("=")
            nearest = suggestion(flag.lstrip("-"), [option.lstrip("-") for option in known])
            hint = f"; did you mean --{nearest}?" if nearest else f"; see `{ctx.command_path} --help`"
            faults.append(f"{flag}: unknown flag{hint}")
            value_expected = not equals
        else:
            if not value_expected:
                faults.append(f"{argument}: unexpected argument; see `{ctx.command_path} --help`")
            value_expected = False
    return faults


def parameter_name(path: SettingPath) -> str:
    """The name of a setting's option inside click."""
    return "__".join(path)


def _metavar(setting: Setting) -> str:
    if setting.form is Form.MAPPING:
        return "NAME=VALUE"
    return f"[{'|'.join(setting.choices)}]" if setting.kind is Kind.CHOICE else setting.kind.name


def _completion(
    setting: Setting,
) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if setting.kind is Kind.PATH:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(choice) for choice in setting.choices if choice.startswith(incomplete)]

    return complete


def _given_flags(ctx: click.Context) -> dict[SettingPath, Raw]:
    values = {path: ctx.params.get(parameter_name(path)) for path in settings_by_path()}
    return {path: value for path, value in values.items() if value is not None and value != ()}


def _part_of(option: click.Parameter) -> str | None:
    return option.setting.part if isinstance(option, SettingOption) else None
