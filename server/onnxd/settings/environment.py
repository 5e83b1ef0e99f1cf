"""Settings from the environment: ONNXD_HTTP_PORT and its like; lists are separated by commas."""

import re
from collections.abc import Mapping
from typing import Final

from onnxd.repository.document import shown
from onnxd.repository.typed_document import suggestion
from onnxd.settings.given import Given, from_words
from onnxd.settings.names import CONFIG_VARIABLE, KEY_VARIABLE, URL_VARIABLE, VARIABLE_PREFIX
from onnxd.settings.table import settings_by_path

_OTHERS: Final = (CONFIG_VARIABLE, KEY_VARIABLE, URL_VARIABLE)

# What Kubernetes puts into every pod for a Service named onnxd or onnxd-something in its namespace.
_IN_KUBERNETES: Final = "KUBERNETES_SERVICE_HOST"
_SERVICE_LINK: Final = re.compile(
    r"ONNXD_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://\S+:\d+")


def from_environment(environment: Mapping[str, str]) -> Given:
    """An empty variable is one that is not set: compose files pass those on."""
    by_variable = {setting.variable: setting for setting in settings_by_path().values()}
    raw = {}
    faults = []
    for variable in sorted(environment):
        value = environment[variable]
        if not variable.startswith(VARIABLE_PREFIX) or not value or variable in _OTHERS:
            continue
        setting = by_variable.get(variable)
        if setting is not None and _SERVICE_ADDRESS.fullmatch(value) and _SERVICE_LINK.fullmatch(variable):
            faults.append(
                f"{variable}: {shown(value)} looks like what Kubernetes sets for a Service of this name; "
                "give the pod enableServiceLinks: false, or the Service another name"
            )
        elif setting is not None:
            raw[setting.path] = value
        elif not (_IN_KUBERNETES in environment and _SERVICE_LINK.fullmatch(variable)):
            faults.append(f"{shown(variable)}: unknown variable{_hint(variable, by_variable)}")
    given = from_words(raw, {path: settings_by_path()[path].variable for path in raw})
    return Given(given.values, given.origins, (*faults, *given.faults))


def _hint(variable: str, known: Mapping[str, object]) -> str:
    # Without the prefix, which would make everything alike.
    names = [name.removeprefix(VARIABLE_PREFIX) for name in (*known, *_OTHERS)]
    nearest = suggestion(variable.removeprefix(VARIABLE_PREFIX), names)
    if nearest is None:
        return "; `onnxd serve --help` lists the settings"
    return f"; did you mean {VARIABLE_PREFIX}{nearest}?"
