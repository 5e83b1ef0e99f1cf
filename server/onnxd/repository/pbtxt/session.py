"""optimization.graph and the backend's `parameters` -> `session`, CUDA options, and texts for clients."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from onnxd.repository.document import Loc, shown
from onnxd.repository.pbtxt.sheet import Sheet
from onnxd.repository.typed_document import suggestion

_LEVELS: Final = {-1: "basic", 1: "extended", 2: "disable"}
_TRUTHS: Final = {"1": True, "true": True, "0": False, "false": False}
_SEARCHES: Final = {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"}
_EXTENSIONS: Final = {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"}


@dataclass(slots=True)
class _Parameters:
    """Reads one parameter after the other."""

    sheet: Sheet
    cuda_options: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, value: str) -> None:
        at: Loc = ("parameters", name)
        if reader := _READERS.get(name):
            reader(self, name, value.strip(), at)
            return
        self.sheet.put(("parameters", name), value, at)
        if nearest := suggestion(name, _READERS):
            self.sheet.warn(at, f"is only shown to clients; did you mean {nearest}?")

    def threads(self, name: str, value: str, at: Loc) -> None:
        count = self._number(value, at)
        if count:
            key = "intra_op_threads" if name.startswith("intra") else "inter_op_threads"
            self.sheet.put(("session", key), count, at)

    def mode(self, _: str, value: str, at: Loc) -> None:
        if value == "1":
            self.sheet.put(("session", "execution_mode"), "parallel", at)
        elif value != "0":
            self.sheet.fault(at, f"expected 0 (sequential) or 1 (parallel), got '{shown(value)}'")

    def memory(self, name: str, value: str, at: Loc) -> None:
        truth = _TRUTHS.get(value.lower())
        if truth is None:
            self.sheet.fault(at, f"expected true, false, 1 or 0, got '{shown(value)}'")
        elif not truth:
            key = "memory_arena" if name == "enable_mem_arena" else "memory_pattern"
            self.sheet.put(("session", key), False, at)

    def shrinkage(self, _: str, __: str, at: Loc) -> None:
        self.sheet.warn(at, "has no effect: memory is given back when the model is unloaded")

    def entry(self, name: str, value: str, at: Loc) -> None:
        self.sheet.put(("session", "options", name), value, at)

    def cuda(self, name: str, value: str, at: Loc) -> None:
        words = {"cudnn_conv_algo_search": _SEARCHES, "arena_extend_strategy": _EXTENSIONS}.get(name)
        if words is not None and value not in words:
            known = ", ".join(f"{number} ({word})" for number, word in words.items())
            self.sheet.fault(at, f"expected {known}, got '{shown(value)}'")
            return
        self.cuda_options[name] = words[value] if words is not None else value

    def _number(self, value: str, at: Loc) -> int | None:
        if len(value) <= 9 and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
            return int(value)
        self.sheet.fault(at, f"expected an integer, got '{shown(value)}'")
        return None


_READERS: Final[dict[str, Callable[[_Parameters, str, str, Loc], None]]] = {
    "intra_op_thread_count": _Parameters.threads,
    "inter_op_thread_count": _Parameters.threads,
    "execution_mode": _Parameters.mode,
    "enable_mem_arena": _Parameters.memory,
    "enable_mem_pattern": _Parameters.memory,
    "memory.enable_memory_arena_shrinkage": _Parameters.shrinkage,
    "session.use_device_allocator_for_initializers": _Parameters.entry,
    "cudnn_conv_algo_search": _Parameters.cuda,
    "gpu_mem_limit": _Parameters.cuda,
    "arena_extend_strategy": _Parameters.cuda,
    "do_copy_in_default_stream": _Parameters.cuda,
}


def put_session(sheet: Sheet) -> dict[str, str]:
    """Returns the CUDA options, which belong to a provider that is chosen elsewhere."""
    level = sheet.message.optimization.graph.level
    at: Loc = ("optimization", "graph", "level")
    if level in _LEVELS:
        sheet.put(("session", "graph_optimization"), _LEVELS[level], at)
    elif level:
        sheet.warn(at, f"has no effect: expected -1, 0, 1 or 2, got {level}")
    reading = _Parameters(sheet)
    for name, parameter in sorted(sheet.message.parameters.items()):
        reading.take(name, parameter.string_value)
    return reading.cuda_options
