"""Which of several replicas this is, for those who look at all of them together. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import AfterValidator

_NAME: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252})?", re.ASCII)


def _check_name(name: str) -> str:
    """The name itself. Raises ValueError for what may not stand in a header as it is."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("expected at most 253 letters, digits, '.', '_' or '-', a letter or digit first")
    return name


Name = Annotated[str, AfterValidator(_check_name)]
"""As orchestrators name things: fit for a header, a label and an attribute as it is. Empty = not told."""

IDENTITY_LABELS: Final = ("pod", "node", "namespace")


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """Which replica this is; told in metrics, traces, and to clients that ask for their times."""

    pod: Name = ""
    """Its own name among the replicas."""
    node: Name = ""
    """The machine that it runs on."""
    namespace: Name = ""
    """What it and its like belong to."""

    def labels(self) -> tuple[str, ...]:
        """The values of IDENTITY_LABELS; empty if nothing is known."""
        values = (self.pod, self.node, self.namespace)
        return values if any(values) else ()

    def attributes(self) -> Mapping[str, str]:
        """Of the resource that traces and metrics are sent for, in OpenTelemetry's names."""
        known = {
            "service.instance.id": self.pod,
            "k8s.pod.name": self.pod,
            "k8s.node.name": self.node,
            "k8s.namespace.name": self.namespace,
        }
        return {name: value for name, value in known.items() if value}
