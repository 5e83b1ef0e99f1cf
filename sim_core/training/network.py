"""The network of a policy: a linear layer, and beside it a hidden one. Its arithmetic is exact.

Observations are whole 64ths between -1 and 1, weights whole 256ths between -4 and 4, and hidden values are
rounded to whole 64ths between 0 and 4. So every product is a whole 2^-14, and every sum of them is below
1,024: FP32 holds both without rounding. Whatever order a runtime adds in, with whatever batch size, on
whatever processor: the answer is the same to the last bit, so a match is too.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from sim_core.arrays import FloatArray

WEIGHT_STEPS = 256
HIDDEN_STEPS = 64
MOST = 4.0
"""Of a weight and of a hidden value."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How many numbers a network takes, has between, and gives."""

    inputs: int
    hidden: int
    outputs: int

    @property
    def parameters(self) -> int:
        return self.inputs * self.outputs + self.hidden * (self.inputs + self.outputs)


@dataclass(frozen=True, slots=True)
class Network:
    """Of one policy, or of many: then each array has an axis of policies in front."""

    direct: FloatArray
    """[inputs, outputs]"""
    into: FloatArray
    """[inputs, hidden]"""
    out: FloatArray
    """[hidden, outputs]"""

    @classmethod
    def unpacked(cls, shape: Shape, flat: npt.NDArray[np.float64]) -> Self:
        """From its parameters in a row, [..., parameters]; rounded to what the weights can be."""
        steps = np.rint(np.clip(flat, -MOST, MOST) * WEIGHT_STEPS) / WEIGHT_STEPS
        # + 0.0 turns -0.0 into 0.0, so that equal networks have equal bytes.
        rounded = (steps + 0.0).astype(np.float32)
        lead = rounded.shape[:-1]
        first = shape.inputs * shape.outputs
        second = first + shape.inputs * shape.hidden
        return cls(
            rounded[..., :first].reshape(*lead, shape.inputs, shape.outputs),
            rounded[..., first:second].reshape(*lead, shape.inputs, shape.hidden),
            rounded[..., second:].reshape(*lead, shape.hidden, shape.outputs),
        )

    def one(self, place: int) -> "Network":
        """Of many, the one in this place."""
        return Network(self.direct[place], self.into[place], self.out[place])

    def scores(self, observations: FloatArray) -> FloatArray:
        """[..., rows, inputs] to [..., rows, outputs]: what the ONNX file gives, bit for bit."""
        direct = observations @ self.direct
        if not self.into.shape[-1]:
            return direct
        hidden = np.rint((observations @ self.into) * np.float32(HIDDEN_STEPS)) / np.float32(HIDDEN_STEPS)
        return np.asarray(direct + np.clip(hidden, 0, np.float32(MOST)) @ self.out, np.float32)

    def fingerprint(self) -> int:
        """63 bits of the SHA-256 of the weights."""
        content = b"".join(array.astype("<f4").tobytes() for array in (self.direct, self.into, self.out))
        return int.from_bytes(hashlib.sha256(content).digest()[:8], "big") >> 1
