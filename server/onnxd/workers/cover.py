"""Who accepts connections for workers that are away. Pure."""

from collections.abc import Collection, Mapping


def covering(listening: Collection[int], count: int) -> Mapping[int, int]:
    """For each of `count` workers that is not among the `listening`, the one that stands in; nothing while
    nobody listens. Those who do share the load of the others."""
    present = sorted(listening)
    if not present:
        return {}
    away = [number for number in range(count) if number not in listening]
    return {number: present[index % len(present)] for index, number in enumerate(away)}
