"""instance_group and the accelerators -> `instances` and `providers`."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from onnxd.repository.document import Loc
from onnxd.repository.pbtxt.accelerators import accelerators
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd_protos import model_config_pb2 as config_pb

Options = dict[str, str | int]
Group = config_pb.ModelInstanceGroup

_AT: Final[Loc] = ("instance_group",)
_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"


def put_placement(sheet: Sheet, cuda_options: Mapping[str, str], gpus: int) -> None:
    """`gpus`: how many the runtime could use here. `cuda_options`: those that are stated elsewhere."""
    groups = [
        (index, group)
        for index, group in enumerate(sheet.message.instance_group)
        if _active(sheet, index, group)
    ]
    for index, group in groups:
        _check(sheet, index, group)
    on_gpu = [(index, group) for index, group in groups if runs_on_gpu(group, gpus)]
    alone_on_gpu = not sheet.message.instance_group and gpus > 0
    if on_gpu and len(on_gpu) < len(groups):
        index = next(index for index, group in groups if not runs_on_gpu(group, gpus))
        sheet.warn((*_AT, index), "has no effect: all instances of the model are on the GPU")
    chosen = on_gpu or groups
    _put_count(sheet, chosen)
    device = _device(sheet, chosen, gpus) if on_gpu or alone_on_gpu else None
    _put_providers(sheet, dict(cuda_options), device)


def runs_on_gpu(group: Group, gpus: int) -> bool:
    """As Triton resolves KIND_AUTO: where the GPUs that are asked for exist."""
    if group.kind == Group.KIND_AUTO:
        return gpus > 0 and all(0 <= number < gpus for number in group.gpus)
    return group.kind == Group.KIND_GPU


def _active(sheet: Sheet, index: int, group: Group) -> bool:
    if not group.passive:
        return True
    at = (*_AT, index, "passive")
    if all(each.passive for each in sheet.message.instance_group):
        sheet.fault(at, "not supported: a model whose instances are all passive answers nothing")
    else:
        sheet.warn(at, "has no effect: passive instances are not created")
    return False


def _check(sheet: Sheet, index: int, group: Group) -> None:
    if group.count < 0:
        sheet.fault((*_AT, index, "count"), f"expected at least 1, got {group.count}")
    if group.gpus and group.kind in (Group.KIND_CPU, Group.KIND_MODEL):
        kind = Group.Kind.Name(group.kind)
        sheet.fault((*_AT, index, "gpus"), f"the group is {kind} and lists GPUs; leave out one of the two")


def _put_count(sheet: Sheet, chosen: list[tuple[int, Group]]) -> None:
    total = sum(max(group.count, 1) for _, group in chosen)
    if total > 1:
        sheet.put(("instances",), total, (*_AT, chosen[0][0], "count"))


def _device(sheet: Sheet, chosen: list[tuple[int, Group]], gpus: int) -> int:
    """The one GPU that is used."""
    listed = sorted({number for _, group in chosen for number in group.gpus})
    everywhere = not chosen or any(not group.gpus for _, group in chosen)
    device = listed[0] if listed else 0
    if len(listed) > 1 or (everywhere and gpus > 1):
        at = (*_AT, chosen[0][0], "gpus") if chosen else _AT
        sheet.warn(at, f"has an effect in part: a model runs on one GPU, which is {device}")
    return device


def _put_providers(sheet: Sheet, cuda_options: Options, device: int | None) -> None:
    named = list(_named(sheet, on_gpu=device is not None))
    providers: list[str | dict[str, Options]] = []
    for name, options in named:
        if name == _CUDA:
            cuda_options |= options
        else:
            providers.append({name: {"device_id": device, **options} if device is not None else options})
    if device is None:
        for name in cuda_options:
            sheet.warn(("parameters", name), "has no effect: the model runs on the CPU")
    else:
        providers.append({_CUDA: {"device_id": device, **cuda_options}})
    if providers:
        at = (*_AT,) if sheet.message.instance_group else ("optimization", "execution_accelerators")
        sheet.put(("providers",), [*providers, _CPU], at)


def _named(sheet: Sheet, *, on_gpu: bool) -> Iterator[tuple[str, Options]]:
    """The accelerators for where the model runs; those for elsewhere are said to be of no use."""
    chosen: Any = sheet.message.optimization.execution_accelerators
    for key, used in (("gpu_execution_accelerator", on_gpu), ("cpu_execution_accelerator", not on_gpu)):
        at: Loc = ("optimization", "execution_accelerators", key)
        found = list(accelerators(sheet, getattr(chosen, key), at))
        if used:
            yield from found
        elif found:
            sheet.warn(at, f"has no effect: the model runs on the {'GPU' if on_gpu else 'CPU'}")
