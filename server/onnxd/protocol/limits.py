"""How much a single request may ask of the codecs, whatever its body's size."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from onnxd.units import Bytes


@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """Bounds that are checked before anything is allocated. A request over one of them is refused by name."""

    max_json_bytes: Bytes = 64 * 2**20
    """The JSON part of an HTTP body; -1 = as much as the body may have."""
    max_json_depth: Annotated[int, Ge(1)] = 100
    """Arrays and objects inside one another."""
    max_rank: Annotated[int, Ge(1), Le(64)] = 16
    """Dimensions of a tensor, the batch dimension included. NumPy itself ends at 64."""
    max_bytes_elements: Annotated[int, Ge(1)] = 2**20
    """Elements of one BYTES tensor: each becomes a Python object, so their number costs, not their length."""
    max_inputs: Annotated[int, Ge(1)] = 1024
    """Inputs of a request."""
    max_outputs: Annotated[int, Ge(1)] = 1024
    """Outputs that a request may name."""
    max_parameters: Annotated[int, Ge(0)] = 128
    """Parameters of a request, and of each tensor of it."""
    max_override_bytes: Bytes = 64 * 2**20
    """Files that come with a load, all of them together; -1 = as much as the body may have."""
    max_id_bytes: Annotated[int, Ge(0)] = 256
    """A request id in UTF-8: it is echoed, logged, and put on spans."""
