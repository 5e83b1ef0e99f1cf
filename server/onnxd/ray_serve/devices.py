"""Whether a replica can use what Ray has given it. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

_CUDA: Final = "CUDAExecutionProvider"


class DevicesUnusable(Exception):
    """The deployment asks for GPUs that this runtime cannot use. For the operator, with the mend."""


def check_devices(assigned: Mapping[str, float], providers: Sequence[str]) -> None:
    """`assigned`: the replica's resources, in Ray's names. Raises DevicesUnusable: a replica that holds a
    share of a GPU and runs on the CPU would keep others from it."""
    gpus = assigned.get("GPU", 0.0)
    if gpus > 0 and _CUDA not in providers:
        raise DevicesUnusable(
            f"the replica was given {gpus:g} GPUs (ray_actor_options.num_gpus), and the ONNX Runtime that is "
            f"installed has no {_CUDA}, but {', '.join(providers)}; install the extra 'gpu' in place of "
            "'cpu', or leave num_gpus out"
        )


def cpu_share(assigned: Mapping[str, float]) -> int:
    """The threads that a replica's models may have together: the CPUs that Ray counts for it, at least 1."""
    return max(int(assigned.get("CPU", 1.0)), 1)
