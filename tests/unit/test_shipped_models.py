"""What `model_repository/` promises, checked with plain ONNX Runtime: no server involved."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from scripts.models import train_digits, train_language
from scripts.models.onnx_file import REPOSITORY, open_session
from sim_core.arena.game import Arena
from sim_core.legacy_rps.game import RockPaperScissors
from tests.sim.policies import shipped_network

MODELS = sorted(path.parent.parent.name for path in REPOSITORY.glob("*/1/model.onnx"))
FILES = sorted(REPOSITORY.glob("*/*/model.onnx"))


def digits(version: int) -> Path:
    return REPOSITORY / "digits" / str(version) / "model.onnx"


LANGUAGE = REPOSITORY / "language" / "1" / "model.onnx"


def interface(path: Path) -> dict[str, tuple[str, list[Any]]]:
    session = open_session(path)
    return {
        value.name: (value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())
    }


@pytest.fixture(scope="module")
def split() -> train_digits.Split:
    return train_digits.split_digits()


@pytest.fixture(scope="module")
def held_out() -> train_language.Sentences:
    return train_language.read_sentences("held_out")


POLICIES = {
    ("arena_policy", 1): (152, 8),
    ("arena_policy", 2): (152, 8),
    ("rps_policy", 1): (22, 3),
}
"""What they take and give, by model and version."""


def policy(model: str, version: int) -> Path:
    return REPOSITORY / model / str(version) / "model.onnx"


def test_the_repository_holds_four_models_and_six_files() -> None:
    assert MODELS == ["arena_policy", "digits", "language", "rps_policy"]
    assert [
        policy("arena_policy", 1), policy("arena_policy", 2),
        digits(1), digits(2), LANGUAGE, policy("rps_policy", 1),
    ] == FILES  # fmt: skip


def test_the_whole_repository_is_under_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in REPOSITORY.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize("version", [1, 2], ids=["version 1", "version 2"])
def test_digits_takes_raw_pixels_and_gives_ten_scores(version: int) -> None:
    assert interface(digits(version)) == {
        "pixels": ("tensor(float)", ["batch", 64]),
        "scores": ("tensor(float)", ["batch", 10]),
    }


def test_language_takes_a_text_and_gives_scores_and_a_label() -> None:
    assert interface(LANGUAGE) == {
        "text": ("tensor(string)", ["batch", 1]),
        "scores": ("tensor(float)", ["batch", 7]),
        "label": ("tensor(string)", ["batch", 1]),
    }


@pytest.mark.parametrize(("model", "version"), POLICIES, ids=str)
def test_policies_take_observations_and_give_scores_and_their_fingerprint(model: str, version: int) -> None:
    inputs, outputs = POLICIES[model, version]
    path = policy(model, version)
    assert interface(path) == {
        "observation": ("tensor(float)", ["batch", inputs]),
        "scores": ("tensor(float)", ["batch", outputs]),
        "weights": ("tensor(int64)", ["batch", 1]),
    }
    rows = np.zeros((3, inputs), np.float32)
    _, weights = open_session(path).run(["scores", "weights"], {"observation": rows})
    assert weights.tolist() == [[shipped_network(model, version).fingerprint()]] * 3


@pytest.mark.parametrize(
    ("model", "names"),
    [("arena_policy", Arena.actions), ("rps_policy", RockPaperScissors.actions)],
    ids=["arena_policy", "rps_policy"],
)
def test_the_labels_of_policies_are_the_actions_of_their_games(model: str, names: tuple[str, ...]) -> None:
    labels = (REPOSITORY / model / "labels.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(labels) == names


def test_both_versions_of_digits_know_nine_held_out_images_of_ten_and_the_second_more(
    split: train_digits.Split,
) -> None:
    first, second = (train_digits.accuracy(digits(version), split) for version in (1, 2))

    assert 0.90 < first < second


def test_no_held_out_image_was_trained_on(split: train_digits.Split) -> None:
    trained = {row.tobytes() for row in split.train_pixels}

    assert len(split.held_out_pixels) == 450
    assert not any(row.tobytes() in trained for row in split.held_out_pixels)


def test_language_knows_nine_held_out_sentences_of_ten(held_out: train_language.Sentences) -> None:
    assert train_language.accuracy(LANGUAGE, held_out) > 0.90


def test_no_held_out_sentence_was_trained_on(held_out: train_language.Sentences) -> None:
    assert not set(held_out.texts) & set(train_language.read_sentences("train").texts)


def test_the_graph_of_language_answers_as_the_scikit_learn_model_does(
    held_out: train_language.Sentences,
) -> None:
    vectorizer, classifier = train_language.train(train_language.read_sentences("train"))

    scores, _ = train_language.answers(LANGUAGE, held_out.texts)

    expected = classifier.predict_proba(vectorizer.transform(held_out.texts))
    # Four decimals of the weights are kept, so the scores agree to about as many.
    np.testing.assert_allclose(scores, expected, atol=2e-4)


@pytest.mark.parametrize("version", [1, 2], ids=["version 1", "version 2"])
def test_a_digit_scores_the_same_alone_and_among_others(version: int, split: train_digits.Split) -> None:
    session = open_session(digits(version))
    images = split.held_out_pixels[:32]

    [together] = session.run(None, {"pixels": images})

    alone = [session.run(None, {"pixels": image[None]})[0][0] for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1.0, atol=1e-5)


def test_a_short_text_scores_the_same_alone_and_beside_a_long_one() -> None:
    texts = ["Wie geht's?", "", "Where is the station? " * 40]

    together, labels = train_language.answers(LANGUAGE, texts)

    alone = [train_language.answers(LANGUAGE, [text])[0][0] for text in texts]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert labels[0] == "german"
    assert labels[2] == "english"


@pytest.mark.parametrize("name", MODELS)
def test_each_output_with_labels_has_one_for_each_score(name: str) -> None:
    config = yaml.safe_load((REPOSITORY / name / "config.yaml").read_text(encoding="utf-8"))
    labelled = [output for output in config["outputs"] if "labels" in output]

    assert [output["name"] for output in labelled] == ["scores"]
    for output in labelled:
        labels = (REPOSITORY / name / output["labels"]).read_text(encoding="utf-8").splitlines()
        assert [len(labels)] == output["shape"]


def test_the_labels_of_language_are_the_names_that_it_answers_with() -> None:
    labels = (REPOSITORY / "language" / "labels.txt").read_text(encoding="utf-8").splitlines()

    assert tuple(labels) == train_language.LANGUAGES


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_the_files_load_in_runtimes_older_than_ours(path: Path) -> None:
    model = onnx.load(path)

    assert model.ir_version <= 10
    assert {opset.version for opset in model.opset_import if opset.domain == ""} == {20}


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_each_file_says_what_it_is(path: Path) -> None:
    assert onnx.load(path).doc_string.endswith(".")


def test_the_readme_names_every_version_and_the_command_that_makes_it() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")

    for path in FILES:
        assert f"`{path.parts[-3]}/{path.parts[-2]}`" in readme
    assert "python -m scripts.models.train_digits" in readme
    assert "python -m scripts.models.train_language" in readme
    assert "python -m sim_core.training model_repository" in readme
