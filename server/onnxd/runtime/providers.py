"""Which execution providers a session gets: what was asked for, or a refusal that says what there is.

ONNX Runtime itself falls back to the CPU with no more than a warning, so that a model meant for a GPU can
serve a hundred times slower with nobody told.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from onnxd.errors import LoadFailed

OptionValue = str | int | float | bool
ProviderRequest = str | Mapping[str, Mapping[str, OptionValue]]
"""A provider by name, or one name with its options, such as {"CUDAExecutionProvider": {"device_id": 1}}."""

CPU: Final = "CPUExecutionProvider"

_UNUSABLE: Final = frozenset({"AzureExecutionProvider"})
"""In every wheel's list, but it sends tensors to a URL that the model names."""

_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    CPU: frozenset(),
    "CUDAExecutionProvider": frozenset(
        {
            "arena_extend_strategy",
            "cudnn_conv1d_pad_to_nc1d",
            "cudnn_conv_algo_search",
            "cudnn_conv_use_max_workspace",
            "device_id",
            "do_copy_in_default_stream",
            "enable_cuda_graph",
            "enable_skip_layer_norm_strict_mode",
            "fuse_conv_bias",
            "gpu_mem_limit",
            "prefer_nhwc",
            "sdpa_kernel",
            "use_ep_level_unified_stream",
            "use_tf32",
        }
    ),
}
_DANGEROUS_PARTS: Final = ("path", "file", "dir", "stream", "alloc", "free", "library", "plugin")
"""Of providers whose options are not listed here: what writes files, loads code, or takes an address."""


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """A provider and its options, in ONNX Runtime's own spelling."""

    name: str
    options: Mapping[str, str]


def resolve(
    requested: Sequence[ProviderRequest], require: str | None, available: Sequence[str]
) -> list[ProviderChoice]:
    """The providers to give to ONNX Runtime, in order of preference.

    Raises LoadFailed, naming what is available, for a provider that this build does not have, an option that
    it does not take, and a required one that is not among the requested.
    """
    usable = [name for name in available if name not in _UNUSABLE]
    choices = [_choice(request, usable) for request in requested]
    if not choices:
        raise LoadFailed(f"providers is empty: name at least one of {', '.join(usable)}")
    names = [choice.name for choice in choices]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise LoadFailed(f"provider '{repeated}' is listed twice")
    if require is not None and require not in names:
        _check_available(require, usable)
        raise LoadFailed(f"require_provider is '{require}', which is not in providers: {', '.join(names)}")
    return choices


def options_of(name: str) -> frozenset[str] | None:
    """The options that a config may set of a provider; None where that is not known."""
    return _OPTIONS.get(name)


def check_active(choices: Sequence[ProviderChoice], active: Sequence[str]) -> None:
    """Raises LoadFailed when the session that was built does not run on all that was chosen, in order."""
    wanted = [choice.name for choice in choices]
    if list(active[: len(wanted)]) != wanted:
        raise LoadFailed(
            f"ONNX Runtime did not start {', '.join(wanted)}; the session would have run on "
            f"{', '.join(active)}. The server's log has the cause, such as a missing driver or library"
        )


def _choice(request: ProviderRequest, usable: Sequence[str]) -> ProviderChoice:
    named: Mapping[str, Mapping[str, OptionValue]] = {request: {}} if isinstance(request, str) else request
    if len(named) != 1:
        raise LoadFailed(
            f"an entry of providers is a name or one name with its options, got {len(named)} names"
        )
    name, options = next(iter(named.items()))
    _check_available(name, usable)
    for option in options:
        _check_option(name, option)
    return ProviderChoice(name, {option: _spelled(value) for option, value in options.items()})


def _check_available(name: str, usable: Sequence[str]) -> None:
    if name not in usable:
        raise LoadFailed(
            f"provider '{name}' is not available here; available: {', '.join(usable)}"
            f"{suggestion(name, usable)}"
        )


def _check_option(provider: str, option: str) -> None:
    known = _OPTIONS.get(provider)
    if known is None:
        if any(part in option.lower() for part in _DANGEROUS_PARTS):
            raise LoadFailed(
                f"option '{option}' of provider '{provider}' cannot be set from a model's config"
            )
    elif option not in known:
        listed = f"known: {', '.join(sorted(known))}" if known else "it takes none"
        raise LoadFailed(
            f"provider '{provider}' has no option '{option}' that a config may set; {listed}"
            f"{suggestion(option, sorted(known))}"
        )


def _spelled(value: OptionValue) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def suggestion(word: str, known: Sequence[str]) -> str:
    """ " (did you mean 'x'?)" for the nearest known word, or nothing."""
    lowered = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), lowered, n=1)
    return f" (did you mean '{lowered[near[0]]}'?)" if near else ""
