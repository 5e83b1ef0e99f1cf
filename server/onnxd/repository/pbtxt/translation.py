"""Triton's ModelConfig -> the config of onnxd.

The message is written out as the config.yaml that says the same, and that is read as any other: so there is
one set of rules, `onnxd convert` prints what the server goes by, and faults still stand where Triton's file
has them.
"""

from typing import Final

from onnxd.repository.config_file import LoadedConfig, decode
from onnxd.repository.document import Loc, shown
from onnxd.repository.pbtxt.placement import put_placement
from onnxd.repository.pbtxt.ragged import put_ragged
from onnxd.repository.pbtxt.scheduling import put_batching
from onnxd.repository.pbtxt.session import put_session
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd.repository.pbtxt.survey import survey
from onnxd.repository.pbtxt.tensors import put_tensors
from onnxd.repository.pbtxt.text import Stated
from onnxd.repository.pbtxt.warmup import put_warmup

PLATFORM: Final = "onnxruntime_onnx"
BACKEND: Final = "onnxruntime"
_RUNTIMES: Final = ("libtriton_onnxruntime.so", "libtriton_onnxruntime_onnx.so", BACKEND)
_FILE: Final = "model.onnx"
_NAMES: Final[tuple[tuple[Loc, Loc], ...]] = (
    (("file",), ("default_model_filename",)),
    (("inputs",), ("input",)),
    (("outputs",), ("output",)),
    (("batch_inputs",), ("batch_input",)),
    (("versions",), ("version_policy",)),
    (("instances",), ("instance_group",)),
    (("providers",), ("instance_group",)),
    (("batching",), ("dynamic_batching",)),
    (("warmup",), ("model_warmup",)),
)


def translate(stated: Stated, model: str, *, gpus: int) -> LoadedConfig:
    """The config of a model of this name; empty = of any. `gpus`: how many the runtime could use here, for
    KIND_AUTO.

    Raises LoadFailed with every fault.
    """
    sheet = written_out(stated, model, gpus=gpus)
    return LoadedConfig(decode(sheet.document), sheet.document, sheet.warnings(), stated.message)


def written_out(stated: Stated, model: str, *, gpus: int) -> Sheet:
    """The same as a config.yaml in the making, faults and warnings included."""
    sheet = Sheet(stated)
    sheet.call(_NAMES)
    survey(sheet)
    _check_identity(sheet, model)
    _put_files(sheet)
    put_tensors(sheet)
    put_ragged(sheet)
    put_batching(sheet)
    put_placement(sheet, put_session(sheet), gpus)
    put_warmup(sheet)
    return sheet


def _check_identity(sheet: Sheet, model: str) -> None:
    message = sheet.message
    if model and message.name not in ("", model):
        text = f"expected the directory's name '{model}', got '{shown(message.name)}'; leave it out"
        sheet.fault(("name",), text)
    for key, value, expected in (
        ("platform", message.platform, (PLATFORM,)),
        ("backend", message.backend, (BACKEND,)),
        ("runtime", message.runtime, _RUNTIMES),
    ):
        if value not in ("", *expected):
            text = f"expected '{expected[0]}', got '{shown(value)}'; only ONNX models are served"
            sheet.fault((key,), text)


def _put_files(sheet: Sheet) -> None:
    message = sheet.message
    if message.default_model_filename not in ("", _FILE):
        sheet.put(("file",), message.default_model_filename, ("default_model_filename",))
    if message.max_batch_size:
        sheet.put(("max_batch_size",), message.max_batch_size, ("max_batch_size",))
    elif message.input and message.output:
        # Stated in full, it is not completed by Triton: its shapes are complete, and it does not batch.
        sheet.put(("max_batch_size",), 0, ("max_batch_size",))
    policy = message.version_policy
    match policy.WhichOneof("policy_choice"):
        case "latest":
            versions: object = {"latest": policy.latest.num_versions}
        case "all":
            versions = "all"
        case "specific":
            versions = list(policy.specific.versions)
        case _:
            return
    sheet.put(("versions",), versions, ("version_policy",))
