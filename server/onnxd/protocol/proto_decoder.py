"""Inference requests over gRPC, from bytes to InferRequest.

Clients send the same request again and again, but for its id and what is in its tensors. What has been
decoded of all the rest is remembered by its bytes, checks included; so a request like one before costs the
walk through its fields, a look-up, and its tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final

import numpy as np

from onnxd.messages import InferRequest, Timeline
from onnxd.protocol.binary import decode_tensor
from onnxd.protocol.limits import ProtocolLimits
from onnxd.protocol.names import check_request_id
from onnxd.protocol.proto_request import decode_infer_request
from onnxd.protocol.proto_split import split
from onnxd.protocol.proto_wire import Wire, no_message, parse
from onnxd.tensors import Array, Datatype, datatype_of
from onnxd_protos import grpc_service_pb2 as pb

_REMEMBERED: Final = 512
_LONGEST_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input of a form."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    byte_size: int
    """Where any bytes of this size are a tensor; -1 = they have to be looked at."""

    @staticmethod
    def like(name: str, array: Array) -> "Tensor":
        datatype = datatype_of(array)
        looked_at = datatype in (Datatype.BYTES, Datatype.BOOL)
        return Tensor(name, datatype, array.shape, array.dtype, -1 if looked_at else array.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """What all requests with the same bytes around their tensors have in common."""

    tensors: tuple["Tensor", ...]
    """In the order of their bytes."""
    like: InferRequest
    """One of them. Its tensors are gone."""

    def request(self, raw: Sequence[Wire], request_id: str, limits: ProtocolLimits) -> InferRequest:
        """The one with these tensors. Raises MalformedPayload."""
        inputs: dict[str, Array] = {}
        byte_size = 0
        for tensor, data in zip(self.tensors, raw, strict=True):
            size = len(data)
            if size == tensor.byte_size and type(data) is bytes:
                inputs[tensor.name] = np.ndarray(tensor.shape, tensor.dtype, data)
            else:
                inputs[tensor.name] = decode_tensor(tensor.name, tensor.datatype, tensor.shape, data, limits)
            byte_size += size
        like = self.like
        return InferRequest(
            model_name=like.model_name,
            inputs=inputs,
            model_version=like.model_version,
            id=check_request_id(request_id, limits),
            outputs=like.outputs,
            binary_by_default=True,
            parameters=like.parameters,
            priority=like.priority,
            queue_timeout_s=like.queue_timeout_s,
            byte_size=byte_size,
            form=self,
        )


class InferDecoder:
    """Belongs to the loop's thread; what it opens may be decoded on another."""

    def __init__(self, limits: ProtocolLimits) -> None:
        self.limits = limits
        self._forms: dict[bytes, Form] = {}

    def open(self, data: Wire) -> "OpenRequest":
        """Read who is asked, and by which id. Raises MalformedPayload for bytes that are no message."""
        parts = split(data)
        if parts is None:
            message = parse(pb.ModelInferRequest, data)
            return OpenRequest(self, message.model_name, message.id, message, message.raw_input_contents)
        try:
            request_id = parts.id.decode()
        except UnicodeDecodeError:
            raise no_message(pb.ModelInferRequest) from None
        form = self._forms.get(parts.rest)
        if form is not None and len(form.tensors) == len(parts.raw):
            return OpenRequest(self, form.like.model_name, request_id, form, parts.raw)
        message = parse(pb.ModelInferRequest, parts.rest)
        return OpenRequest(self, message.model_name, request_id, message, parts.raw, parts.rest)

    def remember(self, rest: bytes, request: InferRequest) -> None:
        """That a message with these bytes, besides its id and tensors, is like this request."""
        if len(rest) > _LONGEST_REMEMBERED:
            return
        if len(self._forms) >= _REMEMBERED:
            self._forms.pop(next(iter(self._forms)))
        tensors = tuple(Tensor.like(name, array) for name, array in request.inputs.items())
        self._forms[rest] = Form(tensors, replace(request, inputs={}, timeline=Timeline()))


@dataclass(slots=True)
class OpenRequest:
    """A message of which it is known who is asked; the rest is yet to be decoded."""

    decoder: InferDecoder
    model_name: str
    id: str
    known: Form | pb.ModelInferRequest
    """Without the id and the tensors, where these were cut off."""
    raw: Sequence[Wire]
    rest: bytes = b""
    """Of what was cut apart and is not remembered yet."""

    @property
    def has_elements(self) -> bool:
        """Whether some tensor becomes a Python object for each element on its way."""
        if isinstance(self.known, Form):
            return any(tensor.datatype is Datatype.BYTES for tensor in self.known.tensors)
        inputs = islice(self.known.inputs, self.decoder.limits.max_inputs)
        return any(tensor.datatype == "BYTES" or tensor.HasField("contents") for tensor in inputs)

    def decode(self, *, remember: bool) -> InferRequest:
        """The request: its tensors are views, where they are large. Raises InvalidName, MalformedPayload.
        `remember`: on the loop's thread only."""
        limits = self.decoder.limits
        if isinstance(self.known, Form):
            return self.known.request(self.raw, self.id, limits)
        request = decode_infer_request(self.known, self.raw, self.id, limits)
        all_raw = not request.shared_inputs and len(request.inputs) == len(self.raw)
        if remember and self.rest and all_raw:
            self.decoder.remember(self.rest, request)
        return request
