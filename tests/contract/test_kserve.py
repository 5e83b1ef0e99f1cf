"""What KServe's own clients make of our answers, and its own types of our manifests."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.support.kserve import KSERVE_PROGRAMS, ask_with_kserve
from tests.support.manifests import KSERVE, documents
from tests.support.server import ROOT, RunningServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS: Final = ("rows", "text", "half", "comes_and_goes")

Document = dict[str, Any]

SUM: Final = ["y", "FP32", [1, 4], [2.0, 3.0, 4.0, 5.0]]
WORDS: Final = ["y", "BYTES", [3], ["hällo", "", "a,b"]]
HALVES: Final = ["y", "FP16", [3], [0.0999755859375, -2.0, 65504.0]]
UNKNOWN: Final = "unknown model 'nobody': it is not in the repository"


def result(model: str, output: list[Any]) -> Document:
    return {"id": "seven", "model_name": model, "output": output}


EXPECTED: Final[dict[str, Document]] = {
    "HTTP": {
        "server live": True,
        "server ready": True,
        "model ready": True,
        "infer in JSON": result("rows", SUM),
        "infer text in JSON": result("text", WORDS),
        "infer in bytes": result("rows", SUM),
        "infer in bytes, one output in bytes": result("rows", SUM),
        "infer in bytes, answered in JSON": result("rows", SUM),
        "infer text in bytes": result("text", WORDS),
        "infer FP16": result("half", HALVES),
        "infer an unknown model": {"status": 404, "error": UNKNOWN},
    },
    "gRPC": {
        "server live": True,
        "server ready": True,
        "model ready": True,
        "an unknown model ready": False,
        "infer in typed contents": result("rows", SUM),
        "infer text in typed contents": result("text", ["y", "BYTES", [2], ["hällo", ""]]),
        "infer in bytes": result("rows", SUM),
        "infer text in bytes": result("text", WORDS),
        "infer FP16": result("half", HALVES),
        "infer an unknown model": {"status": "NOT_FOUND", "error": UNKNOWN},
        "unload": {"model_name": "comes_and_goes", "isUnloaded": True},
        "load": {"model_name": "comes_and_goes", "isLoaded": True},
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def understood(server: RunningServer) -> Document:
    """What the clients made of every answer."""
    return await ask_with_kserve(server.http, server.grpc)


@pytest.mark.parametrize(
    ("wire", "question"), [(wire, question) for wire, asked in EXPECTED.items() for question in asked]
)
async def test_kserves_client_understands_the_answer(understood: Document, wire: str, question: str) -> None:
    assert understood[wire][question] == EXPECTED[wire][question]


async def test_nothing_else_is_asked(understood: Document) -> None:
    assert {wire: set(asked) for wire, asked in understood.items()} == {
        wire: set(asked) for wire, asked in EXPECTED.items()
    }


async def made_of_kserves_types(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(KSERVE_PROGRAMS / "manifests.py"), *map(str, paths)]
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )


async def test_every_field_of_the_manifests_is_in_kserves_types() -> None:
    paths = sorted(KSERVE.glob("*.yaml"))

    done = await made_of_kserves_types(*paths)

    assert (done.returncode, done.stderr) == (0, "")
    assert {ROOT / path: said for path, said in json.loads(done.stdout).items()} == {
        path: documents(path)[0] for path in paths
    }


async def test_a_field_that_kserve_does_not_have_is_found(tmp_path: Path) -> None:
    spoilt = tmp_path / "inferenceservice.yaml"
    spoilt.write_text((KSERVE / "inferenceservice.yaml").read_text().replace("modelFormat:", "modelForm:"))

    done = await made_of_kserves_types(spoilt)

    assert done.returncode == 1
    assert done.stderr.strip().endswith("spec.predictor.model: V1beta1ModelSpec has no modelForm")
