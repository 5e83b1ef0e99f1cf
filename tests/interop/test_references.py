"""The committed inputs and the references are sound before any server is asked."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.interop.models import MODELS, labels, model_file, package_file, write_repository
from tests.interop.preprocess import (
    INPUTS,
    Arrays,
    conversation,
    hold,
    hold_async,
    input_files,
    magika_features,
)
from tests.interop.reference import (
    assert_same_answers,
    magika_package_answer,
    reference_answers,
    run,
    session,
)


def stem(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("name", MODELS)
def test_each_model_has_at_least_twenty_inputs_that_differ(name: str) -> None:
    contents = {path.read_bytes() for path in input_files(name)}

    assert len(contents) == len(input_files(name)) >= 20


def test_the_inputs_are_under_two_megabytes() -> None:
    assert sum(path.stat().st_size for path in INPUTS.rglob("*") if path.is_file()) < 2_000_000


@pytest.mark.parametrize("name", MODELS)
def test_a_repository_for_a_model_holds_its_file_and_its_config(name: str, tmp_path: Path) -> None:
    directory = write_repository(tmp_path, name)

    assert directory == tmp_path / name
    assert (directory / "1" / "model.onnx").read_bytes() == model_file(name).read_bytes()
    assert (directory / "config.yaml").read_text(encoding="utf-8") == MODELS[name].config
    assert (directory / "labels.txt").exists() == bool(labels(name))


def test_a_missing_package_is_named_with_the_remedy() -> None:
    with pytest.raises(LookupError, match=r"no-such-package is not installed; install what .*interop\.txt"):
        package_file("no-such-package", "model.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_a_conversation_feeds_the_graph_exactly_its_inputs(name: str) -> None:
    first = next(conversation(name, input_files(name)[0]))

    assert list(first) == [value.name for value in session(name).get_inputs()]


@pytest.mark.parametrize("path", input_files("magika"), ids=stem)
def test_magika_answers_as_its_own_package_does(path: Path) -> None:
    content = path.read_bytes()
    [answer] = reference_answers("magika", path)
    scores = answer["target_label"][0]

    label, score = magika_package_answer(content)

    assert labels("magika")[scores.argmax()] == label == path.stem
    assert scores.max() == pytest.approx(score, abs=1e-5)


def test_features_of_a_long_file_are_its_two_ends_without_white_space_at_the_edges() -> None:
    content = b"\n \t" + bytes(range(1, 256)) * 40 + b"end \r\n"

    features = magika_features(content)

    assert features[:8].tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert bytes(features[-3:].tolist()) == b"end"
    assert features.max() < 256


@pytest.mark.parametrize("path", input_files("silero-vad"), ids=stem)
def test_silero_hears_a_voice_where_there_is_one(path: Path) -> None:
    likelihoods = [float(answer["output"][0, 0]) for answer in reference_answers("silero-vad", path)]

    assert (max(likelihoods) > 0.5) == path.stem.startswith("speech_")


def test_silero_is_given_the_state_of_its_last_answer() -> None:
    path = input_files("silero-vad")[-1]
    asked: list[Arrays] = []

    def infer(inputs: Arrays) -> Arrays:
        asked.append(inputs)
        return run("silero-vad", inputs)

    answers = hold("silero-vad", path, infer)

    assert len(asked) == len(answers) > 1
    assert not asked[0]["state"].any()
    assert all(
        np.array_equal(later["state"], answer["stateN"])
        for later, answer in zip(asked[1:], answers, strict=False)
    )
    assert all(
        np.array_equal(first["input"][0, -64:], second["input"][0, :64]) for first, second in pairwise(asked)
    )


@pytest.mark.parametrize("path", input_files("rapidocr"), ids=stem)
def test_rapidocr_finds_text_where_it_is_drawn(path: Path) -> None:
    [answer] = reference_answers("rapidocr", path)
    [heat] = answer.values()

    assert (heat.max() > 0.5) == (path.stem != "empty")


def test_the_images_are_of_many_shapes() -> None:
    shapes = {next(conversation("rapidocr", path))["x"].shape for path in input_files("rapidocr")}

    assert len(shapes) >= 10
    assert all(height % 32 == 0 == width % 32 for _, _, height, width in shapes)


@pytest.mark.parametrize("name", ["magika", "rapidocr"])
def test_the_rows_of_a_batchable_model_do_not_depend_on_each_other(name: str) -> None:
    rows = [next(conversation(name, path)) for path in input_files(name)]
    [key] = rows[0]
    alike = [row[key] for row in rows if row[key].shape == rows[0][key].shape][:4]
    assert len(alike) > 1

    together = run(name, {key: np.concatenate(alike)})

    alone = [run(name, {key: row}) for row in alike]
    stacked = {output: np.concatenate([answer[output] for answer in alone]) for output in together}
    assert_same_answers([stacked], [together])


async def test_an_awaited_client_holds_the_same_conversation() -> None:
    path = input_files("silero-vad")[0]

    async def infer(inputs: Arrays) -> Arrays:
        return run("silero-vad", inputs)

    assert_same_answers(reference_answers("silero-vad", path), await hold_async("silero-vad", path, infer))


def test_an_answer_that_is_off_is_noticed() -> None:
    expected = [{"scores": np.zeros((1, 3), np.float32)}]

    for wrong in (
        {"scores": np.full((1, 3), 2e-5, np.float32)},
        {"scores": np.zeros((3, 1), np.float32)},
        {"scores": np.zeros((1, 3), np.float64)},
        {"score": np.zeros((1, 3), np.float32)},
    ):
        with pytest.raises(AssertionError):
            assert_same_answers(expected, [wrong])
