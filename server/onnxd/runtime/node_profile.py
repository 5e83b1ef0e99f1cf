"""Which node runs where, and what of a run's time it takes: from the profile that ONNX Runtime writes.

On a GPU the time of a node is that of launching it, as the CPU sees it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from onnxd.errors import LoadFailed
from onnxd.runtime.onnx_session import OnnxSession

PLACEMENT: Final = "placement"
"""The examination's name."""
_MOST_NODES: Final = 1000
_KERNEL: Final = "_kernel_time"
_RUN: Final = "model_run"


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the graph as it was optimised."""

    name: str
    operator: str
    provider: str
    us: float
    """Microseconds of a run, all executions of the node together."""


def examine_placement(session: OnnxSession, _: Path, __: Mapping[str, Any]) -> dict[str, Any]:
    """The examination, for a session that was opened with a profile and has run. Removes the profile."""
    path = session.end_profiling()
    try:
        events = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError as error:
        raise LoadFailed("its profile is too large to be read: the graph runs very many nodes") from error
    finally:
        path.unlink()
    return summary(events)


def summary(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The report: what a run takes, each provider's share, and the nodes that take most, longest first."""
    events = list(events)
    runs = sum(event.get("name") == _RUN for event in events)
    nodes = sorted(_node_times(events, max(1, runs)), key=lambda node: -node.us)
    total_us = sum(node.us for node in nodes)
    providers: dict[str, list[NodeTime]] = {}
    for node in nodes:
        providers.setdefault(node.provider, []).append(node)
    return {
        "runs": runs,
        "run_us": round(total_us, 1),
        "providers": [
            {"provider": name, "nodes": len(own), "share": _share(own, total_us)}
            for name, own in providers.items()
        ],
        "nodes": [
            {
                "name": node.name,
                "operator": node.operator,
                "provider": node.provider,
                "us": round(node.us, 1),
                "share": _share([node], total_us),
            }
            for node in nodes[:_MOST_NODES]
        ],
        "nodes_left_out": max(0, len(nodes) - _MOST_NODES),
    }


def _node_times(events: Iterable[Mapping[str, Any]], runs: int) -> Iterable[NodeTime]:
    times: dict[tuple[str, str, str], float] = {}
    for event in events:
        label = str(event.get("name", ""))
        if event.get("cat") != "Node" or not label.endswith(_KERNEL):
            continue
        told = event.get("args", {})
        operator = str(told.get("op_name", ""))
        name = label.removesuffix(_KERNEL).strip() or f"{operator} {told.get('node_index', '')}".strip()
        key = (name, operator, str(told.get("provider", "")))
        times[key] = times.get(key, 0.0) + float(event.get("dur", 0)) / runs
    return [NodeTime(*key, us) for key, us in times.items()]


def _share(nodes: Iterable[NodeTime], total_us: float) -> float:
    return round(sum(node.us for node in nodes) / total_us, 4) if total_us else 0.0
