"""The question whether a model ignores padding, and what is said of the finding."""

from collections.abc import Mapping
from typing import Any, Final

from onnxd.tensors import ModelSpec

PADDING: Final = "padding"
"""The examination's name."""


def padding_question(spec: ModelSpec) -> dict[str, Any] | None:
    """None for a model whose requests are not padded."""
    if not spec.axes:
        return None
    pads = {axis.name: axis.pad for axis in spec.axes}
    return {
        "axes": {axis.name: list(axis.buckets) for axis in spec.axes},
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype.value,
                "shape": list(tensor.graph_shape),
                "axes": list(tensor.axes),
                "pad": next((pads[axis] for axis in tensor.axes if axis is not None), 0),
                "is_mask": tensor.is_mask,
            }
            for tensor in spec.inputs
            if tensor.is_mask or not tensor.optional
        ],
        "outputs": {output.name: list(output.axes) for output in spec.outputs},
    }


def padding_warning(finding: Mapping[str, Any] | None) -> str:
    """Empty when the model ignores padding, or was not asked."""
    if finding is None:
        return ""
    if fault := str(finding["fault"]):
        return (
            f"dynamic_axes: padding changes the answers of this model: {fault}; name its "
            f"mask (mask_input), or a value of pad that it ignores, or leave the axis out"
        )
    if reason := str(finding["untried"]):
        return (
            f"dynamic_axes: it could not be tried whether padding changes the answers of this model: {reason}"
        )
    return ""
