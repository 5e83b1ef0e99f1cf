import inspect
import subprocess
import sys
from importlib.metadata import version

import onnxd_client
from onnxd_client import AsyncClient, AsyncRepository, Client, Repository, errors

SURFACE = [
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


def test_the_public_names_are_these_and_no_others() -> None:
    assert onnxd_client.__all__ == SURFACE
    assert all(hasattr(onnxd_client, name) for name in SURFACE)


def test_every_error_is_public() -> None:
    assert {name for name, kind in vars(errors).items() if isinstance(kind, type)} <= set(SURFACE)


def test_the_version_is_the_distributions() -> None:
    assert onnxd_client.__version__ == version("onnxd-client")


def public(kind: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(kind).items()
        if callable(member) and not name.startswith("_")
    }


def test_both_colours_have_the_same_calls_with_the_same_arguments() -> None:
    for blocking, awaiting in ((Client, AsyncClient), (Repository, AsyncRepository)):
        ours, theirs = public(blocking), public(awaiting)
        assert {name.removeprefix("a") if name == "aclose" else name for name in theirs} == set(ours)
        for name in set(ours) & set(theirs):
            assert list(ours[name].parameters) == list(theirs[name].parameters), name
            for one, other in zip(
                ours[name].parameters.values(), theirs[name].parameters.values(), strict=True
            ):
                assert (one.kind, one.default) == (other.kind, other.default), name


def test_it_lives_in_one_process_with_tritonclient() -> None:
    script = """
import onnxd_client, tritonclient.grpc
from tritonclient.grpc import service_pb2
from onnxd_protos import grpc_service_pb2
import tritonclient.http
theirs, ours = service_pb2.ModelInferRequest(id="x"), grpc_service_pb2.ModelInferRequest(id="x")
assert type(theirs) is not type(ours)
assert theirs.SerializeToString() == ours.SerializeToString()
assert onnxd_client.Client("grpc://127.0.0.1:1").live() is False
"""
    for order in (
        script,
        script.replace("onnxd_client, tritonclient.grpc", "tritonclient.grpc, onnxd_client"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", order], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_it_imports_without_the_optional_packages() -> None:
    script = """
import sys
sys.modules["ml_dtypes"] = sys.modules["opentelemetry"] = None
import onnxd_client
from onnxd_client import bfloat16, tensors, trace_context
assert tensors.decode("x", "BF16", (1,), b"\\x80\\x3f").dtype == "float32"
assert trace_context.trace_headers() == {}
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_importing_it_brings_only_its_own_dependencies() -> None:
    script = """
import sys, onnxd_client
assert not {"onnxd", "aiohttp", "onnxruntime", "opentelemetry.sdk"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
