"""A request whose form is known is judged as the first of its form was, and by whatever serves now."""

import json

import numpy as np

from tests.support.http_server import HttpServer
from tests.support.raw_http import Answer
from tests.support.serving import identity_spec, served_version, tensor

LENGTH = "Inference-Header-Content-Length"


async def ask(server: HttpServer, *values: float, model: str = "identity") -> Answer:
    data = np.array([values], np.float32)
    place = {"name": "x", "shape": list(data.shape), "datatype": "FP32"}
    head = json.dumps(
        {
            "inputs": [{**place, "parameters": {"binary_data_size": data.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return await server.post(f"/v2/models/{model}/infer", head + data.tobytes(), {LENGTH: str(len(head))})


async def test_requests_of_one_form_have_their_own_answers(server: HttpServer) -> None:
    for number in range(4):
        answer = await ask(server, number, 2, 3, 4)
        assert answer.status == 200
        assert answer.body.endswith(np.array([number, 2, 3, 4], np.float32).tobytes())


async def test_what_does_not_fit_does_not_fit_the_next_time(server: HttpServer) -> None:
    for _ in range(3):
        answer = await ask(server, 1, 2, 3)
        assert answer.status == 400
        assert "expects shape [-1,4]" in answer.json()["error"]


async def test_what_fitted_a_version_need_not_fit_the_next(server: HttpServer) -> None:
    assert (await ask(server, 1, 2, 3, 4)).status == 200
    server.stand.serve(served_version(identity_spec(version=2, inputs=(tensor("x", 5),))))
    answer = await ask(server, 1, 2, 3, 4)
    assert answer.status == 400
    assert "expects shape [-1,5]" in answer.json()["error"]
    server.stand.serve(served_version(identity_spec()))
    assert (await ask(server, 1, 2, 3, 4)).status == 200


async def test_what_is_known_of_one_model_says_nothing_of_another(server: HttpServer) -> None:
    assert (await ask(server, 1, 2, 3, 4)).status == 200
    assert (await ask(server, 1, 2, 3, 4, model="wide")).status == 400
