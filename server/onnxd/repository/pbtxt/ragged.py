"""Ragged batches of Triton's form: `allow_ragged_batch`, `batch_input` and `batch_output`.

All three change what the graph is given or what clients get back, so what cannot be done as stated fails the
load.
"""

from collections.abc import Sequence
from typing import Final

from onnxd.repository.document import Loc, shown
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd.repository.pbtxt.tensors import datatype_name
from onnxd_protos import model_config_pb2 as config_pb

_KIND: Final = config_pb.BatchInput.Kind
_PREFIX: Final = "BATCH_"


def put_ragged(sheet: Sheet) -> None:
    """Comes after the inputs and outputs themselves."""
    for index, tensor in enumerate(sheet.message.input):
        if tensor.allow_ragged_batch:
            sheet.put(("inputs", index, "ragged"), True, ("input", index, "allow_ragged_batch"))
    made = 0
    for index, batch_input in enumerate(sheet.message.batch_input):
        at: Loc = ("batch_input", index)
        source = _source(sheet, batch_input.source_input, batch_input.target_name, at)
        if source is None or batch_input.kind not in _KIND.values():
            continue
        for place, target in enumerate(batch_input.target_name):
            _put_batch_input(sheet, batch_input, source, target, (made, place), at)
            made += 1
    places = {output.name: index for index, output in enumerate(sheet.message.output)}
    for index, batch_output in enumerate(sheet.message.batch_output):
        at = ("batch_output", index)
        source = _source(sheet, batch_output.source_input, batch_output.target_name, at)
        for place, target in enumerate(batch_output.target_name):
            here: Loc = (*at, "target_name", place)
            if target not in places:
                text = f"there is no output '{shown(target)}'; list it under output, with its dims"
                sheet.fault(here, text)
            elif source is not None:
                sheet.put(("outputs", places[target], "scatter"), source, (*at, "source_input", 0))


def _put_batch_input(
    sheet: Sheet, stated: config_pb.BatchInput, source: str, target: str, places: tuple[int, int], at: Loc
) -> None:
    """`places`: the number of the entry in config.yaml, and of the target in this one."""
    loc: Loc = ("batch_inputs", places[0])
    sheet.put((*loc, "name"), target, (*at, "target_name", places[1]))
    sheet.call([(loc, at)])
    sheet.put((*loc, "kind"), _KIND.Name(stated.kind).removeprefix(_PREFIX).lower(), (*at, "kind"))
    sheet.put((*loc, "source"), source, (*at, "source_input", 0))
    if datatype := datatype_name(stated.data_type):
        sheet.put((*loc, "datatype"), datatype, (*at, "data_type"))


def _source(sheet: Sheet, sources: Sequence[str], targets: Sequence[str], at: Loc) -> str | None:
    """The one input that it is about."""
    if not targets:
        sheet.fault((*at, "target_name"), "expected the name of at least one tensor of the graph, got none")
    if len(sources) != 1:
        text = f"expected the name of one input, got {len(sources)}; every kind is about one"
        sheet.fault((*at, "source_input"), text)
        return None
    return sources[0]
