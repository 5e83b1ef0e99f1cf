"""model_warmup -> `warmup.samples`."""

from typing import Final

from onnxd.repository.document import Loc
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd.repository.pbtxt.tensors import datatype_name
from onnxd_protos import model_config_pb2 as config_pb

_MOST_RUNS: Final = 1000


def put_warmup(sheet: Sheet) -> None:
    """Samples with a batch_size of 0 are skipped, as in Triton."""
    kept = 0
    for index, sample in enumerate(sheet.message.model_warmup):
        at: Loc = ("model_warmup", index)
        if not sample.batch_size or _from_file(sheet, sample, at):
            continue
        _put_sample(sheet, sample, ("warmup", "samples", kept), at)
        kept += 1


def _from_file(sheet: Sheet, sample: config_pb.ModelWarmup, at: Loc) -> bool:
    for name, tensor in sample.inputs.items():
        if tensor.WhichOneof("input_data_type") == "input_data_file":
            place = (*at, "inputs", name, "input_data_file")
            sheet.warn(place, "has no effect: data of files are not read, so this sample is not run")
            return True
    return False


def _put_sample(sheet: Sheet, sample: config_pb.ModelWarmup, loc: Loc, at: Loc) -> None:
    sheet.put(loc, {}, at)
    if sample.batch_size > 1:
        sheet.put((*loc, "batch_size"), sample.batch_size, (*at, "batch_size"))
    if sample.count > _MOST_RUNS:
        sheet.warn((*at, "count"), f"is taken for {_MOST_RUNS}")
    if sample.count > 1:
        sheet.put((*loc, "count"), min(sample.count, _MOST_RUNS), (*at, "count"))
    for name, tensor in sorted(sample.inputs.items()):
        here, there = (*loc, "inputs", name), (*at, "inputs", name)
        sheet.put((*here, "shape"), list(tensor.dims), (*there, "dims"))
        if datatype := datatype_name(tensor.data_type):
            sheet.put((*here, "datatype"), datatype, (*there, "data_type"))
        if tensor.random_data:
            sheet.put((*here, "fill"), "random", (*there, "random_data"))
