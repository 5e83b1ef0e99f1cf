"""What a call can raise, as one tree without transport codes.

    ServerError
    ├── InvalidRequest        the request must change before it can succeed; also raised here, before sending
    ├── NotFound              no such model, version or route
    ├── Unauthenticated       no credential, or a bad one
    ├── PermissionDenied      not for this caller, or switched off by the operator
    ├── TooLarge              over a size limit
    ├── RateLimited           this caller is over its own rate or share
    ├── Unavailable           try again later: queue full, model loading, server draining, connection lost
    │   └── ConnectFailed     nothing answered at the address
    ├── DeadlineExceeded      no answer within the deadline
    └── ServerFault           the server broke, or answered what is not the protocol

`http_errors` and `grpc_errors` each hold one table from a wire's codes to these classes.
"""


class ServerError(Exception):
    """The root: catch it to catch everything that a call can raise."""

    def __init__(self, message: str, *, retry_after: float | None = None, status: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        """Seconds that the server asked us to wait; infinity = do not come back; None = it did not say."""
        self.status = status
        """The wire's own code, for logs ("HTTP 503", "gRPC UNAVAILABLE"); None when nothing was received."""


class InvalidRequest(ServerError):
    """The request must be changed before it can succeed."""


class NotFound(ServerError):
    """No such model, version or route."""


class Unauthenticated(ServerError):
    """The server wants a credential, or does not know this one."""


class PermissionDenied(ServerError):
    """The credential does not allow this, or the operator switched it off."""


class TooLarge(ServerError):
    """The request or the answer is over a size limit."""


class RateLimited(ServerError):
    """This caller is over its own rate or share."""


class Unavailable(ServerError):
    """Not now: the queue is full, the model loads, the server drains, or the connection was lost."""


class ConnectFailed(Unavailable):
    """Nothing answered at the address."""


class DeadlineExceeded(ServerError):
    """There was no answer within the deadline, on our side or the server's."""


class ServerFault(ServerError):
    """The server broke while answering, or its answer is not the protocol."""
