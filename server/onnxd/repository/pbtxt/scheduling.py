"""Triton's schedulers -> `batching`.

Without dynamic_batching Triton runs each request alone, also that of a model with max_batch_size; whoever
states a model in full may rely on it, for rows that are not independent of each other. Where Triton would
complete the config itself it adds dynamic_batching, and so it counts as stated.
"""

from typing import Final

from onnxd.repository.document import Loc
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd_protos import model_config_pb2 as config_pb

LONGEST_QUEUE: Final = 1_000_000
_LONGEST_TIMEOUT_US: Final = 86_400_000_000
_AT: Final[Loc] = ("dynamic_batching",)


def put_batching(sheet: Sheet) -> None:
    message = sheet.message
    if message.max_batch_size > 0 and not is_dynamic(message):
        sheet.put(("batching", "dynamic"), False, ("max_batch_size",))
    if message.HasField("dynamic_batching"):
        dynamic = message.dynamic_batching
        _put_delay(sheet, dynamic)
        _put_preferred(sheet, dynamic)
        if dynamic.HasField("default_queue_policy"):
            _put_policy(sheet, dynamic.default_queue_policy, (*_AT, "default_queue_policy"), ("batching",))
        _put_priorities(sheet, dynamic)
        if dynamic.preserve_ordering:
            sheet.put(("batching", "preserve_ordering"), True, (*_AT, "preserve_ordering"))


def is_dynamic(message: config_pb.ModelConfig) -> bool:
    """Whether Triton would put requests together, if the model batches at all."""
    return message.WhichOneof("scheduling_choice") is not None or not (message.input and message.output)


def duration(microseconds: int) -> str:
    """As config.yaml writes it."""
    for unit, size in (("s", 1_000_000), ("ms", 1_000)):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"


def _put_delay(sheet: Sheet, dynamic: config_pb.ModelDynamicBatching) -> None:
    at = (*_AT, "max_queue_delay_microseconds")
    if not dynamic.max_queue_delay_microseconds:
        return
    if sheet.message.max_batch_size > 0:
        delay = duration(dynamic.max_queue_delay_microseconds)
        sheet.put(("batching", "max_queue_delay"), delay, at)
    else:
        sheet.warn(at, "has no effect without a stated max_batch_size")


def _put_preferred(sheet: Sheet, dynamic: config_pb.ModelDynamicBatching) -> None:
    rows, sizes = sheet.message.max_batch_size, list(dynamic.preferred_batch_size)
    at = (*_AT, "preferred_batch_size")
    for index, size in enumerate(sizes):
        if not 0 < size <= rows:
            sheet.fault((*at, index), f"expected sizes from 1 to max_batch_size, which is {rows}, got {size}")
            return
    if not set(sizes) - {rows}:
        return  # the maximum is preferred anyway
    if dynamic.max_queue_delay_microseconds:
        sheet.put(("batching", "preferred_sizes"), sizes, at)
    else:
        text = "has no effect: without max_queue_delay_microseconds a batch is never held back"
        sheet.warn(at, text)


def _put_priorities(sheet: Sheet, dynamic: config_pb.ModelDynamicBatching) -> None:
    levels, default = dynamic.priority_levels, dynamic.default_priority_level
    if not levels:
        for name in ("default_priority_level", "priority_queue_policy"):
            if getattr(dynamic, name):
                sheet.warn((*_AT, name), "has no effect: without priority_levels there are no levels")
        return
    sheet.put(("batching", "priority_levels"), levels, (*_AT, "priority_levels"))
    at = (*_AT, "default_priority_level")
    if 1 <= default <= levels:
        sheet.put(("batching", "default_priority"), default, at)
    else:
        sheet.fault(at, f"expected a level from 1 to priority_levels, which is {levels}, got {default}")
    for level, policy in sorted(dynamic.priority_queue_policy.items()):
        loc: Loc = ("batching", "priorities", str(level))
        here: Loc = (*_AT, "priority_queue_policy", str(level))
        sheet.put(loc, {}, here)
        _put_policy(sheet, policy, here, loc)


def _put_policy(sheet: Sheet, policy: config_pb.ModelQueuePolicy, at: Loc, loc: Loc) -> None:
    """All that a policy says, also by saying nothing: a level's does not go by what holds for all."""
    of_all = loc == ("batching",)
    timeout_us = policy.default_timeout_microseconds
    if timeout_us > _LONGEST_TIMEOUT_US:  # a longer one than any request's own deadline is none
        timeout_us = 0
    if timeout_us or not of_all:
        sheet.put((*loc, "default_timeout"), duration(timeout_us), (*at, "default_timeout_microseconds"))
    delays = policy.timeout_action == config_pb.ModelQueuePolicy.DELAY
    if delays and (timeout_us or policy.allow_timeout_override):
        sheet.put((*loc, "timeout_action"), "delay", (*at, "timeout_action"))
    elif not of_all:
        sheet.put((*loc, "timeout_action"), "reject", (*at, "timeout_action"))
    if not policy.allow_timeout_override or not of_all:
        allowed = policy.allow_timeout_override
        sheet.put((*loc, "allow_timeout_override"), allowed, (*at, "allow_timeout_override"))
    size = policy.max_queue_size
    if size > LONGEST_QUEUE:
        sheet.warn((*at, "max_queue_size"), f"is taken for {LONGEST_QUEUE}: a queue is always bounded")
    if size:
        sheet.put((*loc, "max_queue_size"), min(size, LONGEST_QUEUE), (*at, "max_queue_size"))
