"""Models that other people trained and that PyPI packages ship, ready to be served.

The packages are in the dependency group `interop`, installed without their dependencies. Their files are
found through the installed metadata and the packages are never imported (silero-vad's imports torch).

    directory = write_repository(tmp_path, "magika")

makes `tmp_path/magika/` with `config.yaml`, `labels.txt` and `1/model.onnx`: point a server at `tmp_path`.
"""

import json
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, slots=True)
class InteropModel:
    """One model: where its file lies in the installed package, and how to serve it."""

    name: str
    """The directory in the repository, so the name that clients use; also the folder under `inputs/`."""
    distribution: str
    """The PyPI package that ships it."""
    file: str
    """The model's path in that distribution."""
    config: str
    """The text of its config.yaml."""
    labels_from: str | None = None
    """The JSON file of the distribution whose `target_labels_space` becomes `labels.txt`."""


MODELS = {
    model.name: model
    for model in (
        InteropModel(
            name="magika",
            distribution="magika",
            file="magika/models/standard_v3_3/model.onnx",
            config=(
                "description: What kind of file these bytes are from.\n"
                "max_batch_size: 32\n"
                # A batch of it pays little on a CPU, so that without a delay it is served in smaller ones.
                "batching: {max_queue_delay: 5ms}\n"
                "inputs:\n"
                "  - {name: bytes, datatype: INT32, shape: [2048]}\n"
                "outputs:\n"
                "  - {name: target_label, datatype: FP32, shape: [214], labels: labels.txt}\n"
            ),
            labels_from="magika/models/standard_v3_3/config.min.json",
        ),
        InteropModel(
            name="silero-vad",
            distribution="silero-vad",
            file="silero_vad/data/silero_vad.onnx",
            # Its state has the batch on the second axis, and its sample rate none: it does not batch.
            config=(
                "description: How likely 32 ms of sound are speech. The caller carries the state.\n"
                "max_batch_size: 0\n"
            ),
        ),
        InteropModel(
            name="rapidocr",
            distribution="rapidocr-onnxruntime",
            file="rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            config=(
                "description: Where text stands in an image of any height and width that 32 divides.\n"
                "max_batch_size: 4\n"
                "inputs:\n"
                "  - {name: x, datatype: FP32, shape: [3, -1, -1]}\n"
            ),
        ),
    )
}


def package_file(distribution: str, path: str) -> Path:
    """The file `path` of an installed distribution, not imported; LookupError when it is not there."""
    remedy = "install what requirements/interop.txt pins: pip install --no-deps -r requirements/interop.txt"
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError as error:
        raise LookupError(f"the package {distribution} is not installed; {remedy}") from error
    for file in files:
        if file.as_posix() == path:
            return Path(str(file.locate()))
    raise LookupError(
        f"the installed {distribution} {metadata.version(distribution)} has no {path}; {remedy}"
    )


def model_file(name: str) -> Path:
    """The ONNX file of the model `name`, in the installed package."""
    model = MODELS[name]
    return package_file(model.distribution, model.file)


def labels(name: str) -> list[str]:
    """The names of the model's classes, in the order of its scores; empty for a model without classes."""
    model = MODELS[name]
    if model.labels_from is None:
        return []
    description = json.loads(package_file(model.distribution, model.labels_from).read_text(encoding="utf-8"))
    names: list[str] = description["target_labels_space"]
    return names


def write_repository(root: Path, name: str) -> Path:
    """Make the directory from which the server serves the model `name` as version 1, and return it.

    `root` is the model repository; call it once for each model that is to be in it. The ONNX file is copied,
    so a test may change it.
    """
    directory = root / name
    (directory / "1").mkdir(parents=True)
    shutil.copyfile(model_file(name), directory / "1" / "model.onnx")
    (directory / "config.yaml").write_text(MODELS[name].config, encoding="utf-8")
    if names := labels(name):
        (directory / "labels.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return directory
