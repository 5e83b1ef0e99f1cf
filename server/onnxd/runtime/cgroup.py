"""The control groups that this process is in: where its quotas are written down. Linux; elsewhere none."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

PROC: Final = Path("/proc/self")
CGROUPS: Final = Path("/sys/fs/cgroup")


def unified(proc: Path = PROC, cgroups: Path = CGROUPS) -> Iterator[Path]:
    """Directories of cgroup v2, from the process's own group up: a bound of each holds for those below."""
    for number, controllers, group in _groups(proc):
        if number == "0" and not controllers:
            yield from (cgroups / level for level in (group, *group.parents))


def of_controller(controller: str, proc: Path = PROC, cgroups: Path = CGROUPS) -> Iterator[Path]:
    """Directories of a controller of cgroup v1, from the process's own group up."""
    for _, controllers, group in _groups(proc):
        if controller in controllers.split(","):
            for level in (group, *group.parents):
                # The mount is named after all that is mounted together (cpu,cpuacct), or after the one.
                yield from (cgroups / mount / level for mount in (controllers, controller))


def read(path: Path) -> str:
    """The file's text; nothing where the platform does not have it or this process may not see it."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _groups(proc: Path) -> Iterator[tuple[str, str, PurePosixPath]]:
    for line in read(proc / "cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield number, controllers, PurePosixPath(path.lstrip("/"))
