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
        _put_delay(sheet, message.dynamic_batching)
        _check_preferred(sheet, message.dynamic_batching)
        if message.dynamic_batching.HasField("default_queue_policy"):
            _put_policy(sheet, message.dynamic_batching.default_queue_policy)


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
        sheet.warn(at, "has no effect: without max_batch_size there are no batches to wait for")


def _check_preferred(sheet: Sheet, dynamic: config_pb.ModelDynamicBatching) -> None:
    rows, sizes = sheet.message.max_batch_size, list(dynamic.preferred_batch_size)
    at = (*_AT, "preferred_batch_size")
    for index, size in enumerate(sizes):
        if not 0 < size <= rows:
            sheet.fault((*at, index), f"expected sizes from 1 to max_batch_size, which is {rows}, got {size}")
            return
    if set(sizes) - {rows}:
        sheet.warn(at, "has no effect: batches are of any size up to max_batch_size")


def _put_policy(sheet: Sheet, policy: config_pb.ModelQueuePolicy) -> None:
    at = (*_AT, "default_queue_policy")
    timeout_us = policy.default_timeout_microseconds
    delays = policy.timeout_action == config_pb.ModelQueuePolicy.DELAY
    if delays and (timeout_us or policy.allow_timeout_override):
        sheet.warn(
            (*at, "timeout_action"),
            "has no effect: a request that has waited too long is not refused, and it keeps its place",
        )
    elif 0 < timeout_us <= _LONGEST_TIMEOUT_US:  # a longer one than any request's own deadline is none
        timeout = duration(timeout_us)
        sheet.put(("batching", "default_timeout"), timeout, (*at, "default_timeout_microseconds"))
    if delays or not policy.allow_timeout_override:
        sheet.put(("batching", "allow_timeout_override"), False, (*at, "allow_timeout_override"))
    size = policy.max_queue_size
    if size > LONGEST_QUEUE:
        sheet.warn((*at, "max_queue_size"), f"is taken for {LONGEST_QUEUE}: a queue is always bounded")
    if size:
        sheet.put(("batching", "max_queue_size"), min(size, LONGEST_QUEUE), (*at, "max_queue_size"))
