"""Which models put requests together in which way."""

from onnxd.scheduler.batch import Alone, BatchForm, Rows
from onnxd.scheduler.forms import form_of
from onnxd.scheduler.padding import Padded
from onnxd.scheduler.ragged import Ragged
from onnxd.tensors import BatchInput, BatchKind, Datatype, DynamicAxis, ModelSpec, TensorSpec

X = TensorSpec("x", Datatype.FP32, (-1,))


def form(spec: ModelSpec, max_rows: int = 8) -> BatchForm:
    return form_of(spec, max_rows=max_rows, count=lambda elements, padding: None)


def test_rows_are_put_together_where_there_is_more_than_one_to_a_run() -> None:
    spec = ModelSpec("m", 1, (X,), (), 8)
    assert isinstance(form(spec), Rows)
    assert isinstance(form(spec, max_rows=0), Alone)


def test_dynamic_axes_are_padded() -> None:
    padded = TensorSpec("x", Datatype.FP32, (-1,), axes=("n",))
    assert isinstance(form(ModelSpec("m", 1, (padded,), (), 8, axes=(DynamicAxis("n", (4,)),))), Padded)


def test_what_the_graph_takes_flat_is_made_flat_also_for_a_request_that_runs_alone() -> None:
    flat = TensorSpec("x", Datatype.FP32, (-1,), ragged=True)
    assert isinstance(form(ModelSpec("m", 1, (flat,), (), 8), max_rows=0), Ragged)


def test_inputs_that_the_server_makes_and_outputs_that_it_scatters_are_enough() -> None:
    made = BatchInput("n", Datatype.INT32, BatchKind.ELEMENT_COUNT, "x")
    y = TensorSpec("y", Datatype.FP32, (-1,), scatter="x")
    assert isinstance(form(ModelSpec("m", 1, (X,), (), 8, batch_inputs=(made,))), Ragged)
    assert isinstance(form(ModelSpec("m", 1, (X,), (y,), 8)), Ragged)
