"""Operators that move, cut, repeat and pick elements."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from onnxd.runtime.rowwise.counting import SHAPE
from onnxd.runtime.rowwise.operation import Operation, Rule, positive, row_axis
from onnxd.runtime.rowwise.values import Dim, N, Shape, Tensor, Unproven, Value, across, product

_WHOLE: Final = 1_000_000
"""No batch has more rows: a slice that ends here or later takes them all."""
_SMALL: Final = 64
"""Elements of a constant whose value may matter."""


def _reshape(op: Operation) -> Sequence[Value]:
    return [Tensor(reshaped(op.shape(0), op.sizes(1), copies=not op.integer("allowzero", 0)))]


def reshaped(shape: Shape, target: Shape, *, copies: bool = True) -> Shape:
    """What a Reshape to `target` gives; `copies`: 0 stands for the size that is there."""
    asked = tuple(
        shape[axis] if size == 0 and copies and axis < len(shape) else size
        for axis, size in enumerate(target)
    )
    if N not in shape:
        if N in asked:
            raise Unproven("combines rows with values by their place in the batch")
        return tuple(None if size == -1 else size for size in asked)
    if row_axis(shape) != 0:
        raise Unproven("reshapes what has its rows inside")
    if not asked or N in asked[1:]:
        raise Unproven("puts rows into one another")
    row, kept = product(shape[1:]), product(asked[1:])
    if asked[0] == -1 and row is not None and row == kept:
        return (N, *asked[1:])
    if asked[0] is not N or (kept != row and kept is not None and -1 not in asked):
        raise Unproven("puts rows into one another")
    rest = list(asked[1:])
    if rest.count(-1) == 1:
        others = product(tuple(size for size in rest if size != -1))
        rest[rest.index(-1)] = row // others if row is not None and others else None
    return (N, *rest)


def _flatten(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    axis = op.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    if N in shape and (row_axis(shape) != 0 or axis != 1):
        raise Unproven("puts rows into one another")
    return [Tensor((shape[0] if N in shape else product(shape[:axis]), product(shape[axis:])))]


def _squeeze(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    axes = op.axes(1, len(shape))
    if axes is None and N in shape:
        raise Unproven("has another rank when there is one row")
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
        if None in shape:
            raise Unproven("has an unknown rank")
    if any(shape[axis] is N for axis in axes):
        raise Unproven("takes the rows' axis away")
    return [Tensor(tuple(size for axis, size in enumerate(shape) if axis not in axes))]


def _unsqueeze(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    given = op.integers(1) if op.given(1) else op.integer_list("axes") or ()
    axes = {positive(axis, len(shape) + len(given)) for axis in given}
    rest = iter(shape)
    return [Tensor(tuple(1 if axis in axes else next(rest) for axis in range(len(shape) + len(axes))))]


def _transpose(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    order = op.integer_list("perm") or tuple(reversed(range(len(shape))))
    if sorted(order) != list(range(len(shape))):
        raise Unproven("names axes that its input does not have")
    return [Tensor(tuple(shape[axis] for axis in order))]


def _concat(op: Operation) -> Sequence[Value]:
    shapes = [op.shape(index) for index in range(op.count)]
    if len({len(shape) for shape in shapes}) > 1:
        raise Unproven("joins tensors of different rank")
    axis = positive(op.integer("axis", 1), len(shapes[0]))
    if any(shape[axis] is N for shape in shapes):
        raise across("puts rows behind other rows")
    if len({row_axis(shape) for shape in shapes}) > 1:
        raise Unproven("combines rows with values by their place in the batch")
    joined = [shape[axis] for shape in shapes]
    whole = sum(size for size in joined if isinstance(size, int)) if None not in joined else None
    merged = [_common([shape[at] for shape in shapes]) for at in range(len(shapes[0]))]
    merged[axis] = whole
    return [Tensor(tuple(merged))]


def _common(sizes: Sequence[Dim]) -> Dim:
    return next((size for size in sizes if size is not None), None)


def _split(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    op.fixed_from(1)
    axis = positive(op.integer("axis", 0), len(shape))
    if shape[axis] is N:
        raise Unproven("parts the rows")
    return [Tensor((*shape[:axis], None, *shape[axis + 1 :]))] * op.outputs


def _slice(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    if op.opset < 10:
        starts, ends = op.integer_list("starts") or (), op.integer_list("ends") or ()
        axes = op.integer_list("axes") or tuple(range(len(starts)))
        steps: Sequence[int] = (1,) * len(starts)
    else:
        axes = op.integers(3) if op.given(3) else tuple(range(len(op.sizes(1))))
        if N not in [shape[positive(axis, len(shape))] for axis in axes]:
            op.fixed_from(1)
            starts = ends = steps = (0,) * len(axes)
        else:
            starts, ends = op.integers(1), op.integers(2)
            steps = op.integers(4) if op.given(4) else (1,) * len(starts)
    kept: list[Dim] = list(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        at = positive(axis, len(shape))
        if shape[at] is not N:
            kept[at] = None
        elif (start, step) != (0, 1) or end < _WHOLE:
            raise Unproven("picks among the rows")
    return [Tensor(tuple(kept))]


def _gather(op: Operation) -> Sequence[Value]:
    shape, places = op.shape(0), op.shape(1)
    axis = positive(op.integer("axis", 0), len(shape))
    if shape[axis] is N:
        raise Unproven("picks among the rows")
    if N in shape and N in places:
        raise across("picks for each row from all rows")
    return [Tensor((*shape[:axis], *places, *shape[axis + 1 :]))]


def _gather_elements(op: Operation) -> Sequence[Value]:
    shape, places = op.shape(0), op.shape(1)
    axis = positive(op.integer("axis", 0), len(shape))
    if row_axis(shape) != row_axis(places) or shape[axis] is N:
        raise Unproven("picks among the rows")
    return [Tensor(places)]


def _gather_nd(op: Operation) -> Sequence[Value]:
    shape, places = op.shape(0), op.shape(1)
    batch = op.integer("batch_dims", 0)
    depth = places[-1] if places else None
    if not isinstance(depth, int):
        raise Unproven("picks by places of unknown depth")
    if N in shape and not (row_axis(shape) == row_axis(places) < batch):
        raise Unproven("picks among the rows")
    if N in places[:batch] and N not in shape:
        raise Unproven("picks by the place in the batch")
    return [Tensor((*places[:-1], *shape[batch + depth :]))]


def _one_hot(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    op.fixed_from(1)
    axis = positive(op.integer("axis", -1), len(shape) + 1)
    return [Tensor((*shape[:axis], None, *shape[axis:]))]


def _expand(op: Operation) -> Sequence[Value]:
    shape, target = op.shape(0), op.sizes(1)
    rank = max(len(shape), len(target))
    old, new = ((1,) * (rank - len(side)) + side for side in (shape, target))
    made: list[Dim] = []
    for one, other in zip(old, new, strict=True):
        if N in (one, other):
            if one not in (N, 1) or other not in (N, 1):
                raise Unproven("combines rows with values by their place in the batch")
            made.append(N)
        else:
            made.append(max(one, other) if isinstance(one, int) and isinstance(other, int) else None)
    return [_once(made)]


def _constant_of_shape(op: Operation) -> Sequence[Value]:
    sizes = op.sizes(0)
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) == len(sizes) and math.prod(known) <= _SMALL:
        attribute = op.attribute("value")
        return [Tensor(sizes, np.full(known, _item(attribute) if attribute is not None else np.float32(0)))]
    return [_once(list(sizes))]


def _item(attribute: Any) -> Any:
    import onnx.numpy_helper

    return onnx.numpy_helper.to_array(attribute.t).ravel()[0]


def _once(sizes: Sequence[Dim]) -> Tensor:
    if sizes.count(N) > 1:
        raise across("brings rows together with other rows")
    return Tensor(tuple(sizes))


def _tile(op: Operation) -> Sequence[Value]:
    shape, repeats = op.shape(0), op.integers(1)
    if len(repeats) != len(shape):
        raise Unproven("repeats along other axes than there are")
    if any(size is N and times != 1 for size, times in zip(shape, repeats, strict=True)):
        raise Unproven("repeats rows")
    return [Tensor(tuple(size if times == 1 else None for size, times in zip(shape, repeats, strict=True)))]


def _pad(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    op.fixed_from(2)
    pads = op.integers(1) if op.given(1) else op.integer_list("pads") or ()
    axes = op.integers(3) if op.given(3) else tuple(range(len(shape)))
    if len(pads) != 2 * len(axes):
        raise Unproven("pads other axes than there are")
    kept: list[Dim] = list(shape)
    for at, axis in enumerate(axes):
        if pads[at] or pads[at + len(axes)]:
            if kept[positive(axis, len(shape))] is N:
                raise Unproven("adds rows")
            kept[positive(axis, len(shape))] = None
    return [Tensor(tuple(kept))]


def _resize(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    if N in shape:
        axes = op.integer_list("axes") or tuple(range(len(shape)))
        places = [positive(axis, len(shape)) for axis in axes]
        scales, sizes = (1, 3) if op.kind == "Upsample" or op.opset < 11 else (2, 3)
        at = row_axis(shape)
        if at in places:
            here = places.index(at)
            if op.text("keep_aspect_ratio_policy", "stretch") != "stretch" or "crop" in op.text(
                "coordinate_transformation_mode", ""
            ):
                kept = False
            elif op.given(scales) and op.constant(scales).size:
                kept = float(op.constant(scales)[here]) == 1.0
            else:
                kept = op.given(sizes) and op.sizes(sizes)[here] is N
            if not kept:
                raise Unproven("resizes along the rows")
    return [Tensor(tuple(N if size is N else None for size in shape))]


def _range(op: Operation) -> Sequence[Value]:
    op.fixed_from(0)
    return [Tensor((None,))]


def _trilu(op: Operation) -> Sequence[Value]:
    op.fixed_from(1)
    if N in op.shape(0)[-2:]:
        raise Unproven("treats rows by their place in the batch")
    return [Tensor(op.shape(0))]


def _depth_to_space(op: Operation) -> Sequence[Value]:
    shape = op.shape(0)
    if N in shape and row_axis(shape) != 0:
        raise Unproven("puts rows into one another")
    return [Tensor((*shape[:1], *(None,) * (len(shape) - 1)))]


RULES: Final[Mapping[str, Rule]] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "OneHot": _one_hot,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Tile": _tile,
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "Range": _range,
    "Trilu": _trilu,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _depth_to_space,
    "Shape": SHAPE,
}
