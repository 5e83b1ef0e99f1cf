"""Whether other people's models may be batched, served without a config."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from onnxd.cli.check_report import Verdict
from onnxd.cli.examination import examine_repository
from onnxd.runtime.row_verdict import Outcome
from onnxd.runtime.trial import TrialLimits
from tests.interop.models import MODELS, model_file, package_file

ALSO: Final = {
    "rapidocr-recognition": (
        "rapidocr-onnxruntime",
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
    ),
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """On each model, by name."""
    root = tmp_path_factory.mktemp("bare")
    files = {name: model_file(name) for name in MODELS}
    files |= {name: package_file(*place) for name, place in ALSO.items()}
    for name, file in files.items():
        target: Path = root / name / "1"
        target.mkdir(parents=True)
        shutil.copyfile(file, target / "model.onnx")
    report = examine_repository([root], TrialLimits())
    assert report.sound
    return {verdict.model: verdict for verdict in report.verdicts}


@pytest.mark.parametrize("name", ["magika", "rapidocr", "rapidocr-recognition"])
def test_models_whose_rows_are_independent_are_proven_by_their_graphs(
    name: str, verdicts: dict[str, Verdict]
) -> None:
    verdict = verdicts[name]
    assert verdict.rows is not None
    assert (verdict.max_batch_size, verdict.rows.outcome, verdict.rows.by) == (32, Outcome.PROVEN, "graph")


def test_a_model_with_its_batch_on_another_axis_is_not_batched(verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts["silero-vad"]
    assert verdict.max_batch_size == 0
    assert "input 'state' has no free first dimension" in str(verdict.rows)
