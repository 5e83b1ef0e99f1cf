"""Bad HTTP requests as a table: what is sent to which model, and what must come back.

After every case the server is live, a good request is answered right, and the refusal has the one form that
clients read, without a path or a name from inside the server.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.raw_http import Answer, connect, request_bytes
from tests.support.server import RunningServer

LENGTH: Final = "Inference-Header-Content-Length"
INSIDE: Final = ("/", "Traceback", ".py", "site-packages", "onnxd.", "onnxruntime", "numpy", "0x")
"""What no refusal may show."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request and its answer's status."""

    model: str
    body: bytes
    status: int = 400
    named: str = ""
    """What the refusal must mention."""
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = ""
    """When it is not the model's infer."""
    method: str = "POST"


def tensor(data: object = None, **changes: Any) -> dict[str, Any]:
    """An input of the model `free`: FP32 `x` of as many elements as there are. None = a key left out."""
    entry: dict[str, Any] = {"name": "x", "datatype": "FP32", "data": data}
    if isinstance(data, list):
        entry["shape"] = [len(data)]
    if (size := changes.pop("binary_data_size", None)) is not None:
        changes["parameters"] = {"binary_data_size": size}
    entry |= changes
    return {key: value for key, value in entry.items() if value is not None}


def document(*inputs: object, **more: Any) -> dict[str, Any]:
    return {"inputs": list(inputs) or [tensor([1.0, 2.0])], **more}


def bad(*inputs: object, model: str = "free", named: str = "", status: int = 400, **more: Any) -> Case:
    """A request in JSON that is refused."""
    return Case(model, json.dumps(document(*inputs, **more)).encode(), status, named)


def good(*inputs: object, model: str = "free", **more: Any) -> Case:
    """A request in JSON that stands beside the bad ones and is answered."""
    return bad(*inputs, model=model, status=200, **more)


def text(body: bytes, *, model: str = "free", status: int = 400, named: str = "") -> Case:
    """A body as it is."""
    return Case(model, body, status, named)


def tailed(*inputs: object, tail: bytes, model: str = "free", status: int = 400, named: str = "") -> Case:
    """JSON with bytes behind it."""
    head = json.dumps(document(*inputs)).encode()
    return Case(model, head + tail, status, named, {LENGTH: str(len(head))})


def raw(model: str, body: bytes, *, status: int = 400, named: str = "") -> Case:
    """A raw binary request."""
    return Case(model, body, status, named, {LENGTH: "0"})


async def send(server: RunningServer, case: Case) -> Answer:
    """The answer to one case, on a connection of its own."""
    return await send_to(server.server.http.port, case)


async def send_to(port: int, case: Case) -> Answer:
    """The same of whatever listens on this port."""
    path = case.path or f"/v2/models/{case.model}/infer"
    async with connect(port, buffer_bytes=2**26) as connection:
        await connection.send(request_bytes(case.method, path, case.body, case.headers))
        return await connection.answer()


async def check(server: RunningServer, case: Case) -> None:
    """Send the case, look at its answer, and see the server well afterwards."""
    assert_fits(await send(server, case), case)
    await assert_well(server)


def assert_fits(answer: Answer, case: Case) -> None:
    """The answer is the case's: its status, and a refusal in one sentence that says what is wrong."""
    assert answer.status == case.status, answer.body[:500]
    if answer.status != 200:
        error = answer.error
        assert case.named in error
        assert len(error) < 1000
        assert error.isprintable()
        assert not [inside for inside in INSIDE if inside in error], error


async def assert_well(server: RunningServer) -> None:
    """Live, right about a good request, and nothing left in it."""
    async with connect(server.server.http.port) as connection:
        await connection.send(request_bytes("GET", "/v2/health/live"))
        assert (await connection.answer()).json() == {"live": True}
        await connection.send(request_bytes("POST", "/v2/models/free/infer", json.dumps(document()).encode()))
        assert (await connection.answer()).json()["outputs"][0]["data"] == [2.0, 3.0]
    assert server.server.inference.in_flight == 0
