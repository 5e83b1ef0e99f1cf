"""Whether a decoded request is what a model takes: a pure comparison with its ModelSpec."""

from onnxd.errors import TensorMismatch
from onnxd.messages import InferRequest
from onnxd.protocol.classification import check_classifiable
from onnxd.protocol.json_tensor import refusal_of_halves
from onnxd.protocol.reshape import as_graph_sees
from onnxd.protocol.wording import nearest, show, show_names, show_shape
from onnxd.tensors import Array, Datatype, ModelSpec, TensorSpec, datatype_of


def validate(request: InferRequest, spec: ModelSpec, most_rows: int | None = None) -> int:
    """The request's rows: its batch size, or 1 for a model that does not batch. `most_rows`: how many it may
    have, where that is more than a batch.

    Checked in this order: the outputs exist and can be answered as asked, the inputs are those of the
    model, then for each input its rank, batch, datatype and shape. Raises TensorMismatch.

    The only changes it makes: an input is replaced by a view in the shape that the graph has for it, where
    the config reshapes it, and where a scalar came with shape [1].
    """
    _check_outputs(request, spec)
    inputs = request.inputs
    known = spec.inputs
    for tensor in known:
        if tensor.name not in inputs:
            _check_names(request, spec)
            break
    else:
        if len(inputs) != len(known):
            _check_names(request, spec)

    rows: int | None = None
    first = ""
    for tensor in known:
        array = inputs.get(tensor.name)
        if array is None:
            continue  # optional, or _check_names would have raised
        if spec.batches:
            if not array.ndim:
                raise TensorMismatch(
                    f"input {show(tensor.name)}: expected shape {show_shape(spec.wire_shape(tensor))} with "
                    f"a leading batch dimension, as model {show(spec.name)} batches, got a scalar"
                )
            batch = array.shape[0]
            if rows is None:
                rows, first = batch, tensor.name
                _check_batch(tensor.name, batch, spec, most_rows or spec.max_batch_size)
            elif batch != rows:
                raise TensorMismatch(
                    f"input {show(tensor.name)}: expected a batch of {rows} rows as input {show(first)} "
                    f"has, got {batch}"
                )
        if array.dtype != tensor.datatype.dtype:
            raise TensorMismatch(
                f"input {show(tensor.name)}: model {show(spec.name)} expects datatype "
                f"{tensor.datatype.value}, got {datatype_of(array).value}"
            )
        item = array.shape[1:] if spec.batches else array.shape
        if item != tensor.shape and not _fits(item, tensor.shape):
            if tensor.shape == () and item == (1,):
                inputs[tensor.name] = array.reshape(array.shape[:-1])
            else:
                raise _wrong_shape(tensor, array, spec)
        if tensor.reshape is not None:
            inputs[tensor.name] = as_graph_sees(array, tensor, batches=spec.batches)
    return 1 if rows is None else rows


def _fits(item: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return len(item) == len(expected) and all(
        want in (-1, dim) for dim, want in zip(item, expected, strict=True)
    )


def _check_outputs(request: InferRequest, spec: ModelSpec) -> None:
    if request.outputs:
        for wanted in request.outputs:
            tensor = spec.output(wanted.name)
            if tensor is None:
                names = [output.name for output in spec.outputs]
                raise TensorMismatch(
                    f"model {show(spec.name)} has no output "
                    f"{show(wanted.name)}{nearest(wanted.name, names)}; its outputs: {show_names(names)}"
                )
            if wanted.classification:
                check_classifiable(tensor)
            elif wanted.place is None:
                binary = request.binary_by_default if wanted.binary is None else wanted.binary
                _check_answerable(tensor, binary)
    elif not request.binary_by_default:
        for tensor in spec.outputs:
            _check_answerable(tensor, binary=False)


def _check_answerable(tensor: TensorSpec, binary: bool) -> None:
    """JSON has no form for half floats: say so before the model runs, not after."""
    if not binary and tensor.datatype in (Datatype.FP16, Datatype.BF16):
        raise TensorMismatch(refusal_of_halves(tensor.name))


def _check_names(request: InferRequest, spec: ModelSpec) -> None:
    names = [tensor.name for tensor in spec.inputs]
    required = [tensor.name for tensor in spec.inputs if not tensor.optional]
    missing = [name for name in required if name not in request.inputs]
    unexpected = [name for name in request.inputs if name not in set(names)]
    if not missing and not unexpected:
        return  # only optional inputs are left out
    faults = []
    if missing:
        faults.append(f"missing input(s) {show_names(missing)}")
    if unexpected:
        faults.append(
            f"unexpected input(s) {show_names(unexpected)}{nearest(unexpected[0], missing or names)}"
        )
    expected = str(len(names)) if len(required) == len(names) else f"{len(required)} to {len(names)}"
    raise TensorMismatch(
        f"model {show(spec.name)} expects {expected} inputs, got {len(request.inputs)}: "
        f"{'; '.join(faults)}. Its inputs: {show_names(names)}"
    )


def _check_batch(name: str, batch: int, spec: ModelSpec, most_rows: int) -> None:
    if not 1 <= batch <= most_rows:
        raise TensorMismatch(
            f"input {show(name)}: model {show(spec.name)} takes a batch of 1 to {most_rows} rows, got {batch}"
        )


def _wrong_shape(tensor: TensorSpec, array: Array, spec: ModelSpec) -> TensorMismatch:
    note = f" (the first dimension is the batch, at most {spec.max_batch_size})" if spec.batches else ""
    return TensorMismatch(
        f"input {show(tensor.name)}: model {show(spec.name)} expects shape "
        f"{show_shape(spec.wire_shape(tensor))}{note}, got {show_shape(array.shape)}"
    )
