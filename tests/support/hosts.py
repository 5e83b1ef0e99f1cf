"""Several hosts on one machine: network namespaces on one switch, each with a cable that can be pulled."""

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Final

import pytest

_SYS_ADMIN: Final = 21
_NET_ADMIN: Final = 12
_numbers: Final = itertools.count()


def _may_make_hosts() -> bool:
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return all(effective >> capability & 1 for capability in (_NET_ADMIN, _SYS_ADMIN))


needs_hosts = pytest.mark.skipif(
    shutil.which("ip") is None or not _may_make_hosts(),
    reason="network namespaces need iproute2's `ip`, and CAP_NET_ADMIN and CAP_SYS_ADMIN",
)


@dataclass(frozen=True, slots=True)
class Host:
    """One of them. Its network is its own, loopback included; files and processes are the machine's."""

    address: str
    namespace: str
    switch: str
    port: str
    """Where its cable is plugged in."""

    def command(self, command: Sequence[str]) -> list[str]:
        """The same command, run there. The process is its own: a signal reaches the program itself."""
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *command]

    @contextlib.contextmanager
    def running(self, command: Sequence[str], output: IO[str]) -> Iterator[subprocess.Popen[str]]:
        """A process there, which is killed at the end if it is still going."""
        process = subprocess.Popen(
            self.command(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env=without_proxies(),
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def pull_cable(self) -> None:
        """Nothing reaches it, and nothing comes of it; both sides are told of nothing."""
        _ip("-n", self.switch, "link", "set", "dev", self.port, "down")

    def plug_in(self) -> None:
        _ip("-n", self.switch, "link", "set", "dev", self.port, "up")


@contextlib.contextmanager
def hosts(**addresses: str) -> Iterator[dict[str, Host]]:
    """Hosts by name, each with its address in a network /24 that nothing else is on. Gone in the end, with
    what still runs there cut off."""
    prefix = f"onnxd-{os.getpid()}-{next(_numbers)}"
    switch = f"{prefix}-switch"
    with ExitStack() as made:
        _namespace(made, switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", switch, "link", "set", "dev", "bridge", "up")
        found = {}
        for name, address in addresses.items():
            namespace = f"{prefix}-{name}"
            _namespace(made, namespace)
            # The interface is made in the namespace itself: the machine's own never sees one.
            _ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", switch)
            _ip("-n", switch, "link", "set", "dev", name, "master", "bridge", "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "dev", "eth0", "up")
            _ip("-n", namespace, "link", "set", "dev", "lo", "up")
            found[name] = Host(address, namespace, switch, name)
        yield found


def without_proxies() -> dict[str, str]:
    """The environment, less what would lead elsewhere: between these hosts there is no proxy."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def _namespace(made: ExitStack, name: str) -> None:
    _ip("netns", "add", name)
    made.callback(_ip, "netns", "delete", name)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
