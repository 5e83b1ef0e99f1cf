"""`onnxd settings`."""

import click

from onnxd.cli.output import print_table
from onnxd.cli.setting_options import SettingsCommand, loaded_settings
from onnxd.settings.table import settings_by_path
from onnxd.settings.written import shown


@click.command("settings", cls=SettingsCommand)
@click.option("--changed", is_flag=True, help="Only those that are not the default.")
@click.pass_context
def command(ctx: click.Context, /, changed: bool, **_: object) -> None:
    """Show the settings that `onnxd serve` would use with the same options, and where each comes from.

    Secrets are not shown.
    """
    loaded = loaded_settings(ctx)
    rows = []
    for path, setting in settings_by_path().items():
        value = loaded.value(path)
        if not changed or value != setting.default:
            rows.append((setting.name, shown(setting, value), loaded.origins[path]))
    print_table(("SETTING", "VALUE", "FROM"), rows)
