"""The Python client of onnxd, and of every server that speaks KServe v2 (Open Inference Protocol).

from onnxd_client import Client

with Client("http://127.0.0.1:8000") as client:
    scores = client.infer("digits", {"pixels": pixels})["scores"]
"""

from importlib.metadata import version as _version

from onnxd_client.async_client import AsyncClient, AsyncRepository
from onnxd_client.client import Client, Repository
from onnxd_client.errors import (
    ConnectFailed,
    DeadlineExceeded,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    ServerFault,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from onnxd_client.moments import Moment
from onnxd_client.results import (
    Classification,
    IndexEntry,
    InferResult,
    ModelMetadata,
    ServerMetadata,
    TensorMetadata,
)
from onnxd_client.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "AsyncRepository",
    "Classification",
    "Client",
    "ConnectFailed",
    "DeadlineExceeded",
    "IndexEntry",
    "InferResult",
    "InvalidRequest",
    "ModelMetadata",
    "Moment",
    "NotFound",
    "PermissionDenied",
    "RateLimited",
    "Repository",
    "RetryPolicy",
    "ServerError",
    "ServerFault",
    "ServerMetadata",
    "TensorMetadata",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
]

__version__ = _version("onnxd-client")
