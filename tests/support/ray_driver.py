"""A local Ray with the applications of a config: `python -m tests.support.ray_driver CONFIG CPUS`.

Writes a line for each application, then `deployed`; the same again for every line that it reads, after it has
read the config anew. It ends, and Ray with it, when its input does.
"""

import shutil
import sys
import tempfile
import time

import ray
from ray import serve
from ray.serve.scripts import cli

_ASK_EVERY_S = 0.05
_SETTLED = ("RUNNING", "DEPLOY_FAILED")


def main(config: str, cpus: str) -> None:
    # Ray's sockets have names below this, and those may have 107 characters.
    room = tempfile.mkdtemp(prefix="ray-")
    ray.init(
        num_cpus=int(cpus),
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        namespace="serve",
        _node_ip_address="127.0.0.2",  # in place of 127.0.0.1 Ray takes the address that others reach
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
    """As `serve run CONFIG` does, and wait until it is settled."""
    cli(["run", "--non-blocking", config], standalone_mode=False)
    while not (found := serve.status().applications) or any(
        each.status.value not in _SETTLED for each in found.values()
    ):
        time.sleep(_ASK_EVERY_S)
    for name, each in found.items():
        sys.stdout.write(f"{name} {each.status.value} {' '.join(each.message.split())}\n")
    sys.stdout.write("deployed\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
