"""Why a provider did not start, out of what ONNX Runtime has printed: it raises nothing that says so."""

import re
from typing import Final

_LOAD: Final = r"Failed to load library \S*?(?P<by>[^\s/\\]+) with error: "
_LIBRARY: Final = re.compile(_LOAD + r"(?P<missing>[^\s:]+): cannot open shared object")
_OTHER_LOAD: Final = re.compile(_LOAD + r"(?P<why>[^\n]+)")
_WINDOWS: Final = re.compile(r'LoadLibrary failed with error 126 .*?to load "[^"]*?(?P<by>[^"\\/]+)"')
_DEVICE: Final = re.compile(r"(?:CUDA failure|CUDA error) \d+: (?P<why>[^;\n]+)")
_REQUIRES: Final = re.compile(r"Failed to create (?P<provider>\w+)\. (?P<needs>Requires? [^\n]*?)(\. |\n|$)")
_DIRECTORIES: Final = re.compile(r"(?:/[\w.+-]+)+/")
_MOST_CHARACTERS: Final = 200


def cause_in(printed: str) -> str:
    """What is missing, in words for whoever loads the model, without paths; "" = nothing says so."""
    if found := _LIBRARY.search(printed):
        return f"the library {found['missing']} is missing, which {found['by']} needs"
    if found := _WINDOWS.search(printed):
        return f"{found['by']}, or a library that it needs, is missing"
    if found := _DEVICE.search(printed):
        return f"the device cannot be used: {_short(found['why'])}"
    if found := _OTHER_LOAD.search(printed):
        return f"{found['by']} cannot be loaded: {_short(found['why'])}"
    if found := _REQUIRES.search(printed):
        return f"{found['provider']}: {_short(found['needs'])}"
    return ""


def _short(text: str) -> str:
    return " ".join(_DIRECTORIES.sub("", text).split())[:_MOST_CHARACTERS].rstrip(". ")
