"""The door to ONNX Runtime."""

import os
import re
from pathlib import Path

import onnxd
from onnxd.runtime import ort


def test_telemetry_is_switched_off_by_the_import() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_one_installed_runtime_is_fine() -> None:
    assert ort.faults_of_distributions({"onnxruntime"}) is None
    assert ort.faults_of_distributions({"onnxruntime-gpu"}) is None
    ort.check_distributions()


def test_two_installed_runtimes_are_refused_with_the_mend() -> None:
    fault = ort.faults_of_distributions({"onnxruntime", "onnxruntime-gpu"})
    assert fault is not None
    assert "both onnxruntime and onnxruntime-gpu" in fault
    assert "uninstall both" in fault


def test_no_other_module_imports_onnx_runtime() -> None:
    imports = re.compile(r"^\s*(?:import|from) onnxruntime", re.MULTILINE)
    package = Path(next(iter(onnxd.__path__)))
    found = {path.name for path in package.rglob("*.py") if imports.search(path.read_text())}
    assert found == {"ort.py"}
