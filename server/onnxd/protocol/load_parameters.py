"""The parameters of a load or unload call, by name; the values are each wire's own."""

from collections.abc import Iterable
from typing import Final

from onnxd.errors import MalformedPayload, PermissionDenied
from onnxd.protocol.wording import show

UNLOAD_DEPENDENTS: Final = "unload_dependents"
"""tritonclient always sends it. It is about ensembles; a model has no dependents, so it changes nothing."""


def check_load_parameters(names: Iterable[str]) -> None:
    """Raises PermissionDenied for an override, which would put a caller's files in place of the repository's,
    and MalformedPayload for anything else: a load takes no other parameters."""
    for name in sorted(names):
        if name == "config" or name.startswith("file:"):
            raise PermissionDenied(
                f"load parameter {show(name)} is not permitted: a model is loaded as its directory has it"
            )
        raise MalformedPayload(f"load parameter {show(name)} is not known: expected none")


def check_unload_parameters(names: Iterable[str]) -> None:
    """Raises MalformedPayload for anything but `unload_dependents`."""
    for name in sorted(names):
        if name != UNLOAD_DEPENDENTS:
            raise MalformedPayload(
                f"unload parameter {show(name)} is not known: expected '{UNLOAD_DEPENDENTS}' or nothing"
            )
