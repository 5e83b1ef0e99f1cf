"""A local Ray Serve with onnxd's replicas, in processes of its own that all end with the context."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.children import children
from tests.support.processes import ended
from tests.support.server import ROOT

SHIPPED: Final = ROOT / "deploy/ray/serve.yaml"
_ENVIRONMENT: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
}
_START_S: Final = 50.0
_END_S: Final = 20.0


@dataclass(slots=True)
class RayCluster:
    """Ray's proxies, and what is behind them."""

    driver: subprocess.Popen[str]
    http: str
    grpc: str
    repository: Path
    said: list[str]
    """What the driver wrote, the last deployment's lines at the end."""

    @property
    def http_port(self) -> int:
        return int(self.http.rpartition(":")[2])

    def replicas(self) -> frozenset[int]:
        """The processes of the replicas."""
        return frozenset(
            pid for pid in descendants(self.driver.pid) if _title(pid).startswith("ray::ServeReplica")
        )


@contextlib.contextmanager
def ray_cluster(
    repository: Path, room: Path, settings: Mapping[str, Any], scaling: Mapping[str, Any], cpus: int
) -> Iterator[RayCluster]:
    """The shipped config with other ports, settings and bounds of scaling, and a CPU for each replica. A
    request that waits 5 ms has waited too long."""
    http, grpc = free_ports()
    config = yaml.safe_load(SHIPPED.read_text())
    config["proxy_location"] = "HeadOnly"
    config["http_options"]["port"], config["grpc_options"]["port"] = http, grpc
    [application] = config["applications"]
    application["args"]["settings"] = {
        "model_repository": str(repository), "state_dir": str(room / "state"), **settings,
    }  # fmt: skip
    [deployed] = application["deployments"]
    deployed["ray_actor_options"]["num_cpus"] = 1
    deployed["autoscaling_config"].update(scaling)
    deployed["autoscaling_config"]["policy"]["policy_kwargs"]["target_queue_time_s"] = 0.005
    path = room / "serve.yaml"
    path.write_text(yaml.safe_dump(config))
    log = (room / "driver.log").open("w")
    driver = subprocess.Popen(
        [sys.executable, "-m", "tests.support.ray_driver", str(path), str(cpus)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, **_ENVIRONMENT},
    )
    started: set[int] = set()
    try:
        cluster = RayCluster(driver, f"http://127.0.0.1:{http}", f"127.0.0.1:{grpc}", repository, [])
        wait_for_deployment(cluster)
        yield cluster
    finally:
        started = set(descendants(driver.pid))
        assert driver.stdin is not None
        assert driver.stdout is not None
        driver.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            driver.wait(_END_S)
        driver.kill()
        driver.wait()
        driver.stdout.close()
        log.close()
        for pid in started:
            if not ended(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def wait_for_deployment(cluster: RayCluster) -> None:
    """Until the driver has said how each application fared."""
    assert cluster.driver.stdout is not None
    for line in cluster.driver.stdout:
        cluster.said.append(line.strip())
        if line == "deployed\n":
            return
    raise AssertionError(f"Ray did not start; the driver said {cluster.said}")


def descendants(pid: int) -> Iterator[int]:
    """The processes below one, whoever of them has started which."""
    with contextlib.suppress(OSError):  # it has ended
        for child in children(pid):
            yield child
            yield from descendants(child)


def free_ports() -> tuple[int, int]:
    """Two that nobody listens on now. Ray cannot say which it took if it is told to take any."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _title(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
