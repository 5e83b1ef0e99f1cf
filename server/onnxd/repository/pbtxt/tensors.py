"""The inputs and outputs of Triton's form -> those of config.yaml."""

from typing import Any, Final

from onnxd.repository.document import Loc
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd_protos import model_config_pb2 as config_pb

_NAMES: Final = config_pb.DataType.DESCRIPTOR.values_by_number


def put_tensors(sheet: Sheet) -> None:
    """Dims, datatypes and reshapes are told apart from the graph's later, when it is known."""
    for index, tensor in enumerate(sheet.message.input):
        loc: Loc = ("inputs", index)
        at: Loc = ("input", index)
        _put_tensor(sheet, tensor, loc, at)
        if tensor.optional:
            sheet.put((*loc, "optional"), True, (*at, "optional"))
    for index, output in enumerate(sheet.message.output):
        loc, at = ("outputs", index), ("output", index)
        _put_tensor(sheet, output, loc, at)
        if output.label_filename:
            sheet.put((*loc, "labels"), output.label_filename, (*at, "label_filename"))


def datatype_name(data_type: int) -> str:
    """As config.yaml has it; empty for TYPE_INVALID, which is a type that is not stated."""
    value = _NAMES.get(data_type)
    if value is None or not data_type:
        return ""
    return "BYTES" if value.name == "TYPE_STRING" else str(value.name).removeprefix("TYPE_")


def _put_tensor(sheet: Sheet, tensor: Any, loc: Loc, at: Loc) -> None:
    sheet.put((*loc, "name"), tensor.name, (*at, "name"))
    sheet.call([(loc, at)])
    if datatype := datatype_name(tensor.data_type):
        sheet.put((*loc, "datatype"), datatype, (*at, "data_type"))
    if tensor.dims:
        sheet.put((*loc, "shape"), list(tensor.dims), (*at, "dims"))
    if tensor.HasField("reshape"):
        sheet.put((*loc, "reshape"), list(tensor.reshape.shape), (*at, "reshape", "shape"))
