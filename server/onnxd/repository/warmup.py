"""What a model is run with before it is READY."""

from dataclasses import dataclass

from onnxd.repository.config import WarmupSection
from onnxd.tensors import Datatype, ModelSpec

InputShapes = dict[str, tuple[Datatype, tuple[int, ...]]]
"""The inputs of one run: by name, what they are and their complete shape, with the batch dimension."""


@dataclass(frozen=True, slots=True)
class WarmupPlan:
    """The runs, in order."""

    runs: tuple[InputShapes, ...]
    guessed: bool
    """Nobody asked for these runs, and a free dimension had to be given a size: failing says little."""


def plan_warmup(spec: ModelSpec, warmup: WarmupSection) -> WarmupPlan:
    """One run for each batch size: those stated, else one row and the biggest batch; one for a model that
    does not batch. Optional inputs are left to their defaults, free dimensions are 1."""
    sent = [tensor for tensor in spec.inputs if not tensor.optional]
    batches: list[tuple[int, ...]] = [()]
    if spec.batches:
        sizes = warmup.batch_sizes or (1, spec.max_batch_size)
        batches = [(size,) for size in dict.fromkeys(sizes)]
    runs = tuple(
        {
            tensor.name: (tensor.datatype, (*batch, *(1 if size == -1 else size for size in tensor.shape)))
            for tensor in sent
        }
        for batch in batches
    )
    guessed = warmup.batch_sizes is None and any(-1 in tensor.shape for tensor in sent)
    return WarmupPlan(runs, guessed)
