"""Requests over HTTP that come again: the JSON of a binary request is nearly always one that was read before.

The tensors behind it differ, their names, datatypes and shapes do not. So what was read of a JSON is kept by
its bytes, and a request with equal ones is only its tensors' bytes put into place.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from onnxd.messages import InferRequest, RequestedOutput, Timeline
from onnxd.protocol.json_request import decode_infer_request
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.parameters import RequestParameters
from onnxd.tensors import Array

_MOST_BYTES: Final = 4096
_MOST_PLANS: Final = 256
_COPIED_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies behind the JSON."""

    name: str
    dtype: "np.dtype[np.generic]"
    shape: tuple[int, ...]
    begins: int
    ends: int


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    length: int
    """Of JSON and tensors."""
    places: tuple[_Place, ...]
    outputs: tuple[RequestedOutput, ...]
    settings: RequestParameters


class RequestPlans:
    """Decodes requests under these limits, and remembers the JSON of some."""

    def __init__(self, limits: ProtocolLimits) -> None:
        self._limits = limits
        self._plans: dict[bytes, _Plan] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def decode(
        self,
        body: bytes | memoryview,
        json_length: int | None,
        model_name: str,
        model_version: int | None,
        timeline: Timeline,
    ) -> InferRequest:
        """As decode_infer_request, which it is where nothing is remembered; with this timeline."""
        text = b""
        if json_length is not None and json_length <= _MOST_BYTES:
            text = bytes(body[:json_length])
            plan = self._plans.get(text)
            if plan is not None and plan.length == len(body):
                return InferRequest(
                    model_name,
                    {place.name: _array(place, body) for place in plan.places},
                    model_version,
                    "",
                    plan.outputs,
                    plan.settings.binary_by_default,
                    plan.settings.kept,
                    plan.settings.priority,
                    plan.settings.queue_timeout_s,
                    plan.length,
                    timeline=timeline,
                    form=plan,
                )
        request = decode_infer_request(
            body, json_length, model_name=model_name, model_version=model_version, limits=self._limits
        )
        request.timeline = timeline
        if text:
            self._remember(text, request, len(body))
        return request

    def _remember(self, text: bytes, request: InferRequest, length: int) -> None:
        # An id is different each time. BYTES and BOOL are looked at byte by byte; what is in shared memory or
        # in the JSON is not behind it.
        if request.id or request.shared_inputs:
            return
        places: list[_Place] = []
        begins = len(text)
        for name, array in request.inputs.items():
            if array.dtype.kind in "Ob":
                return
            places.append(_Place(name, array.dtype, array.shape, begins, begins + array.nbytes))
            begins += array.nbytes
        if begins != length:
            return
        if len(self._plans) >= _MOST_PLANS:
            del self._plans[next(iter(self._plans))]
        settings = RequestParameters(
            request.parameters, request.priority, request.queue_timeout_s, request.binary_by_default
        )
        self._plans[text] = _Plan(length, tuple(places), request.outputs, settings)


def _array(place: _Place, body: bytes | memoryview) -> Array:
    if type(body) is bytes and place.ends - place.begins <= _COPIED_BYTES:
        # Bytes are aligned for every datatype, and cut out sooner than it takes to look where they lie.
        return np.ndarray(place.shape, place.dtype, body[place.begins : place.ends])
    array: Array = np.ndarray(place.shape, place.dtype, body, place.begins)
    return array if array.flags.aligned else array.copy()  # see decode_tensor
