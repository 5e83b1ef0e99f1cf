"""A local Ray with the applications of a config, until standard input ends: `python -m tests.support.ray_driver
CONFIG CPUS TEMPORARY`. Says `deployed` when they are up, and on every line that it is sent deploys anew."""

import shutil
import sys
import tempfile
import time
from pathlib import Path

import ray
from ray import serve
from ray.serve.scripts import cli


def main(config: str, cpus: str) -> None:
    # Ray's sockets have names below this, and those may have 107 characters.
    room = tempfile.mkdtemp(prefix="ray-")
    ray.init(
        num_cpus=int(cpus),
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        namespace="serve",
        _node_ip_address="127.0.0.2",  # for 127.0.0.1 Ray takes the address that others reach
        _temp_dir=room,
    )
    try:
        deploy(config)
        for _ in sys.stdin:
            deploy(config)
    finally:
        serve.shutdown()
        ray.shutdown()
        shutil.rmtree(room, ignore_errors=True)


def deploy(config: str) -> None:
    cli(["run", "--non-blocking", config], standalone_mode=False)
    while True:
        status = serve.status()
        found = {name: application.status for name, application in status.applications.items()}
        if found and all(state in ("RUNNING", "DEPLOY_FAILED") for state in found.values()):
            break
        time.sleep(0.1)
    for name, application in status.applications.items():
        print(name, application.status.value, " ".join(application.message.split())[-2000:], flush=True)
    print("deployed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
