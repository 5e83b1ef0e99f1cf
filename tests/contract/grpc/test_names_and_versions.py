"""Models, versions and methods that are not there, or could not be: alike wherever they are named."""

from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from onnxd.tensors import Array
from onnxd_protos import grpc_service_pb2 as pb
from tests.support.grpc_server import GrpcCalls, GrpcServer, Refused, infer_request

PAIR: dict[str, Array] = {name: np.ones((1, 4), np.float32) for name in "ab"}
INVALID, MISSING = "INVALID_ARGUMENT", "NOT_FOUND"


def check(refused: Refused, code: str, phrase: str) -> None:
    assert (refused.code.name, refused.details) == (code, refused.details)
    assert phrase in refused.details
    assert len(refused.details) < 3100


class TestOnAWholeServer:
    """The rows that are about versions as they are on disk."""

    pytestmark = pytest.mark.asyncio(loop_scope="session")

    @pytest.mark.parametrize(
        ("method", "request_", "code", "phrase"),
        [
            pytest.param(
                "ModelInfer",
                infer_request("broken", {"x": np.ones((1, 4), np.float32)}),
                "UNAVAILABLE",
                "model 'broken' has no version that serves",
                id="row-3-no version that serves",
            ),
            pytest.param(
                "ModelInfer",
                infer_request("versions", {"x": np.ones((1, 4), np.float32)}, version="7"),
                "UNAVAILABLE",
                "version 7 of model 'versions' is UNAVAILABLE",
                id="row-4-a version that is not ready",
            ),
            *(
                pytest.param(
                    method,
                    getattr(pb, f"{method}Request")(name="nobody"),
                    MISSING,
                    "unknown model 'nobody'",
                    id=f"row-1-{method} of an unknown model",
                )
                for method in ("ModelMetadata", "ModelConfig", "ModelStatistics")
            ),
            *(
                pytest.param(
                    method,
                    getattr(pb, f"{method}Request")(name="identity", version="x"),
                    INVALID,
                    "model version 'x' is not valid",
                    id=f"row-5-{method} of a version that is not a number",
                )
                for method in ("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics")
            ),
            pytest.param(
                "RepositoryModelLoad",
                pb.RepositoryModelLoadRequest(model_name="nobody"),
                MISSING,
                "nobody",
                id="row-47-load of an unknown model",
            ),
            pytest.param(
                "ModelStatistics",
                pb.ModelStatisticsRequest(version="1"),
                INVALID,
                "without a model name",
                id="statistics of a version of nothing",
            ),
            pytest.param(
                "RepositoryIndex",
                pb.RepositoryIndexRequest(repository_name="r"),
                "UNIMPLEMENTED",
                "'repository_name'",
                id="index of one repository",
            ),
        ],
    )
    async def test_it_is_refused(
        self, calls: GrpcCalls, method: str, request_: Any, code: str, phrase: str
    ) -> None:
        check(await calls.refusal(method, request_), code, phrase)
        await calls.assert_well()


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/inference.GRPCInferenceService/NoSuchMethod", id="row-48-unknown method"),
        pytest.param("/no.such.Service/ModelInfer", id="row-48-unknown service"),
    ],
)
async def test_an_unknown_path_is_unimplemented(server: GrpcServer, path: str) -> None:
    call: Any = server.calls.channel.unary_unary(path)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"")
    assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED


NAMES = {
    "two dots": "..", "a dot": ".", "up and down": "a/../b", "absolute": "/etc/passwd", "a slash": "m/",
    "backslashes": "\\..\\x", "percent": "%2e%2e", "NUL": "a\0b", "newline": "a\nb", "bidi": "a\u202eb",
    "1 MB": "x" * 2**20, "empty": "", "blank": " ", "tab": "\t",
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(name, id=f"B1-{id}-grpc") for id, name in NAMES.items()])
async def test_what_is_no_name_is_refused_everywhere(server: GrpcServer, name: str) -> None:
    requests: dict[str, Any] = {
        "ModelInfer": infer_request(name, PAIR),
        "ModelReady": pb.ModelReadyRequest(name=name),
        "ModelMetadata": pb.ModelMetadataRequest(name=name),
        "ModelConfig": pb.ModelConfigRequest(name=name),
        "ModelStatistics": pb.ModelStatisticsRequest(name=name),
        "RepositoryModelLoad": pb.RepositoryModelLoadRequest(model_name=name),
        "RepositoryModelUnload": pb.RepositoryModelUnloadRequest(model_name=name),
    }
    if not name:
        del requests["ModelStatistics"]  # where it means every model
    for method, request in requests.items():
        check(await server.calls.refusal(method, request), INVALID, "is not valid")
    assert server.stand.control.loaded == server.stand.control.unloaded == []


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, id=f"B6-{version[:20]!r}-grpc")
        for version in ("0", "-1", "01", "1.0", "abc", str(2**63), " 1", "1" * 1000, "\u0661")
    ],
)
async def test_what_is_no_version_is_refused_everywhere(server: GrpcServer, version: str) -> None:
    for method, request in (
        ("ModelInfer", infer_request("pair", PAIR, version=version)),
        ("ModelReady", pb.ModelReadyRequest(name="pair", version=version)),
        ("ModelMetadata", pb.ModelMetadataRequest(name="pair", version=version)),
        ("ModelConfig", pb.ModelConfigRequest(name="pair", version=version)),
        ("ModelStatistics", pb.ModelStatisticsRequest(name="pair", version=version)),
    ):
        check(await server.calls.refusal(method, request), INVALID, "model version")
