"""What can go wrong, as one tree without transport codes.

    ServerError
    ├── InvalidRequest            the client must change the request
    │   ├── MalformedPayload      bytes that are not the protocol's form (JSON, tensors, protobuf, encoding)
    │   ├── TensorMismatch        well-formed, but not what this model takes
    │   ├── InvalidName           a name or version outside the allowed pattern
    │   └── AlreadyExists         a name that is taken
    ├── PayloadTooLarge           over a size limit
    ├── UnsupportedEncoding       a Content-Encoding we do not read
    ├── RequestTooSlow            the body did not arrive within its deadline
    ├── NotFound
    │   └── ModelNotFound         no such model or version
    ├── NotSupported              part of the protocol that this server does not offer
    ├── Unauthenticated           no credential, or a bad one
    ├── PermissionDenied          not for this caller, or switched off by the operator
    ├── RateLimited               this principal is over its own rate or share
    ├── Unavailable               try again later
    │   ├── ModelUnavailable      known, but loading, unloading or failed
    │   ├── QueueFull             the model's queue is at its bound
    │   ├── QueueTimeout          waited longer than the queue's timeout allows
    │   ├── ServerDraining        the server is shutting down or not up yet
    │   └── ControlDisabled       load and unload are switched off (--model-control none)
    ├── DeadlineExceeded          the caller's own deadline has passed
    ├── LoadFailed                a model did not load; the message says why
    ├── ExecutionFailed           ONNX Runtime failed while running, through no fault in the request's form
    └── ModelProcessDied          it took down the process of its own that the model ran in

Each front end has one table from these classes to its codes, and a test that the table is complete.
Anything that is not a ServerError is our bug: the client sees an opaque error with a request id.

A message names the thing, what was expected, what came, and how to mend it; it never holds a path of the
server's disk, a traceback, or another client's data.
"""

from typing import NamedTuple


class ServerError(Exception):
    """The root. `message` is fit for the client to read."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        """Seconds after which a retry makes sense; None = no estimate."""


class InvalidRequest(ServerError):
    """The request must be changed before it can succeed."""


class MalformedPayload(InvalidRequest):
    """The bytes are not what the protocol says they should be."""


class TensorMismatch(InvalidRequest):
    """A tensor's name, datatype, shape, or size is not what the model takes."""


class InvalidName(InvalidRequest):
    """The name of a model or a region, or a version, that could never exist."""


class AlreadyExists(InvalidRequest):
    """What the request would make is there already."""


class PayloadTooLarge(ServerError):
    """A body, a message, or what it decompresses to is over its limit."""


class UnsupportedEncoding(ServerError):
    """The body is compressed in a way that is not read, here or at all."""

    def __init__(self, message: str, *, readable: str = "gzip, deflate") -> None:
        super().__init__(message)
        self.readable = readable
        """The encodings that would have been, as HTTP lists them."""


class RequestTooSlow(ServerError):
    """The client did not send its body in time."""


class NotFound(ServerError):
    """Something that the request names does not exist."""


class ModelNotFound(NotFound):
    """No model, or no version of it, by that name."""


class NotSupported(ServerError):
    """The protocol has it; this server does not offer it."""


class Unauthenticated(ServerError):
    """No credential, or one that does not hold."""


class PermissionDenied(ServerError):
    """The caller may not do this, or the operator has switched it off."""


class Quota(NamedTuple):
    """How much a caller may ask on average: so many requests in each window."""

    requests: int
    window_s: int


class RateLimited(ServerError):
    """The principal is over its own rate or share."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, quota: Quota | None = None
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.quota = quota
        """What it has used up; None = it is refused for something else."""


class Unavailable(ServerError):
    """Cannot be done now; a retry may succeed."""


class ModelUnavailable(Unavailable):
    """The model is known but does not serve now; the message says why."""


class QueueFull(Unavailable):
    """The model's queue is at its bound."""


class QueueTimeout(Unavailable):
    """The request waited in the queue longer than its queue timeout."""


class ServerDraining(Unavailable):
    """The server is shutting down, or not up yet."""


class ControlDisabled(Unavailable):
    """Loading and unloading over the network is switched off."""


class DeadlineExceeded(ServerError):
    """The caller's own deadline has passed, or cannot be met."""


class LoadFailed(ServerError):
    """A model did not load. What served before keeps serving."""


class ExecutionFailed(ServerError):
    """A run failed inside ONNX Runtime through no fault in the request's form."""


class ModelProcessDied(ServerError):
    """The process that ran the model died during the run. No ExecutionFailed, of whose requests some may be
    run again to find the guilty one: that would kill the next process."""
