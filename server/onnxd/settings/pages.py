"""The pages that are generated from the table: config/server.yaml and docs/settings.md."""

from collections.abc import Iterator
from typing import Final

from onnxd.settings.table import Form, Kind, Part, Setting, parts
from onnxd.settings.written import UNSET, written

_WIDTH: Final = 110

_FILE_HEAD: Final = """\
# Every setting of the server with its default. Remove the # before a key to change it.
# Use it with: onnxd serve --config config/server.yaml
#
# A flag (--http-port) beats a variable (ONNXD_HTTP_PORT), which beats this file. Durations and sizes have a
# unit: 5ms, 30s, 10m, 64KiB, 256MiB. Relative paths start from the working directory.
# Generated from the server's own table by `python -m onnxd.settings`.
"""

_PAGE_HEAD: Final = """\
# Settings

<!-- Generated from the server's own table by `python -m onnxd.settings`. -->

A flag beats a variable, a variable beats the file, the file beats the default. The file is YAML and is
named with `--config FILE` (or `ONNXD_CONFIG`); [config/server.yaml](../config/server.yaml) has every key.
`onnxd settings` takes the same flags as `onnxd serve` and prints what would be in force and where each value
comes from.

- Durations and sizes have a unit: `5ms`, `30s`, `10m`, `64KiB`, `256MiB`.
- Lists: repeat the flag, separate with commas in the variable, write a YAML list in the file.
- Mappings: `--flag NAME=VALUE`, repeated; `NAME=VALUE,NAME=VALUE` in the variable; a YAML mapping in the
  file.
- What is true or false has two flags, such as `--grpc-reflection` and `--no-grpc-reflection`; in the variable
  `true` or `false`.
- An empty variable counts as not set. Relative paths start from the working directory.
- An unknown key, variable or flag is refused, and so is a value of the wrong kind. All faults are shown at
  once, each with its file, line and column, variable or flag.

`ONNXD_URL` is no setting of the server: it is the address that `onnxd infer` and the other commands talk to.
"""


def server_yaml() -> str:
    """config/server.yaml: every key commented out, under its part."""
    blocks = [_FILE_HEAD]
    for part in parts():
        lines = [f"\n# {part.doc}", f"{part.name}:"] if part.name else []
        indent = "  " if part.name else ""
        for setting in part.settings:
            lines += [""] if not part.name else []
            lines += [f"{indent}# {line}" for line in _wrapped(setting.doc, _WIDTH - len(indent) - 2)]
            value = written(setting, setting.default)
            lines.append(f"{indent}#{setting.path[-1]}: {value}".rstrip())
        blocks.append("\n".join(lines) + "\n")
    return "".join(blocks)


def settings_page() -> str:
    """docs/settings.md: a table for each part."""
    return _PAGE_HEAD + "".join("\n" + "\n".join(_section(part)) + "\n" for part in parts())


def type_text(setting: Setting) -> str:
    """What a setting takes, for people."""
    one = setting.kind.value
    if setting.kind is Kind.CHOICE:
        one = ", ".join(setting.choices[:-1]) + f" or {setting.choices[-1]}"
    if setting.form is Form.LIST:
        return f"list of {one}"
    return f"mapping of name to {one}" if setting.form is Form.MAPPING else one


def _section(part: Part) -> Iterator[str]:
    yield f"## {part.name or 'Server'}"
    yield ""
    yield part.doc
    yield ""
    yield "| key | flag | variable | takes | default | |"
    yield "|---|---|---|---|---|---|"
    for setting in part.settings:
        cells = (
            f"`{setting.name}`",
            f"`{setting.flag}`",
            f"`{setting.variable}`",
            type_text(setting),
            f"`{UNSET if setting.default is None else written(setting, setting.default)}`",
            setting.doc.replace("|", "\\|").replace("<", "&lt;"),
        )
        yield f"| {' | '.join(cells)} |"


def _wrapped(text: str, width: int) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}".lstrip()
    if line:
        yield line
