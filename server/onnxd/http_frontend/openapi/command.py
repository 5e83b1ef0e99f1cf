"""A command that asks a model whose example is too long to be read: its tensors as raw bytes behind JSON."""

import math
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from onnxd.tensors import Datatype


def command(model: str, inputs: Sequence[dict[str, Any]], *, authenticates: bool) -> str:
    """For a shell. `inputs`: as in a request, with one value as `data`, which all elements have.

    $ONNXD is the server's address there, and $KEY the key, where one may be needed.
    """
    tensors, made = [], []
    for tensor in inputs:
        element = _element(Datatype(tensor["datatype"]), tensor["data"])
        count = math.prod(tensor["shape"])
        described = {name: tensor[name] for name in ("name", "datatype", "shape")}
        tensors.append({**described, "parameters": {"binary_data_size": len(element) * count}})
        escaped = "".join(f"\\x{byte:02x}" for byte in element)
        made.append(f"perl -e 'print \"{escaped}\" x {count}'")
    head = orjson.dumps({"inputs": tensors})
    lines = [
        f"(printf %s {shlex.quote(head.decode())}; {'; '.join(made)}) |",
        f'  curl -sS --data-binary @- "$ONNXD"{shlex.quote(f"/v2/models/{model}/infer")}',
        f"    -H 'Inference-Header-Content-Length: {len(head)}'",
    ]
    if authenticates:
        lines.append('    -H "Authorization: Bearer $KEY"')
    return lines[0] + "\n" + " \\\n".join(lines[1:])


def _element(datatype: Datatype, value: Any) -> bytes:
    """As the binary form has it."""
    if datatype is Datatype.BYTES:
        text = str(value).encode()
        return len(text).to_bytes(4, "little") + text
    return np.full(1, value, datatype.dtype).tobytes()
