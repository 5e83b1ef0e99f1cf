"""Train `model_repository/language` and write it: `python -m scripts.models.train_language`.

A scikit-learn text classifier over character n-grams that names the language of a sentence. All of the text
handling is part of the ONNX graph, so a client sends the sentence as it is. The sentences it learns from and
those held out were written for this project and lie beside this file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from scripts.models.onnx_file import REPOSITORY, FloatArray, open_session, weights, write_model

SENTENCES = Path(__file__).parent / "sentences"
LANGUAGES = ("dutch", "english", "french", "german", "italian", "portuguese", "spanish")

LETTERS = "abcdefghijklmnopqrstuvwxyzàáâãäçèéêëìíîïñòóôõöùúûüœß"
LONGEST_NGRAM = 3
RAREST_KEPT = 2
"""n-grams that fewer training sentences hold are left out."""

PADDING = "<none>"
"""Fills short rows of a batch. Longer than one character, so that no text can contain it as a token."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """Texts and, for each, its index in `LANGUAGES`."""

    texts: list[str]
    languages: npt.NDArray[np.int64]


def read_sentences(part: str) -> Sentences:
    """The sentences of `part`: "train" or "held_out"."""
    texts: list[str] = []
    languages: list[int] = []
    for index, language in enumerate(LANGUAGES):
        lines = (SENTENCES / part / f"{language}.txt").read_text(encoding="utf-8").splitlines()
        texts += lines
        languages += [index] * len(lines)
    return Sentences(texts, np.array(languages, np.int64))


def folded(text: str) -> list[str]:
    """The characters as the graph sees them: lower-case letters, all else a space, one space around."""
    return [" ", *(lower if (lower := character.lower()) in LETTERS else " " for character in text), " "]


def ngrams(text: str) -> list[str]:
    """All runs of one to three folded characters."""
    characters = folded(text)
    return [
        "".join(characters[start : start + size])
        for size in range(1, LONGEST_NGRAM + 1)
        for start in range(len(characters) - size + 1)
    ]


def train(sentences: Sentences) -> tuple[TfidfVectorizer, LogisticRegression]:
    vectorizer = TfidfVectorizer(analyzer=ngrams, min_df=RAREST_KEPT, norm="l2")
    features = vectorizer.fit_transform(sentences.texts)
    classifier = LogisticRegression(C=30.0, tol=1e-8, max_iter=5000)
    with threadpool_limits(limits=1):  # as for the digits: the same bytes whatever the number of cores
        classifier.fit(features, sentences.languages)
    return vectorizer, classifier


def _folding() -> dict[str, str]:
    table = {letter: letter for letter in LETTERS}
    table |= {letter.upper(): letter for letter in LETTERS if len(letter.upper()) == 1}
    return table | {PADDING: PADDING}


def language_graph(vectorizer: TfidfVectorizer, classifier: LogisticRegression) -> onnx.GraphProto:
    """`text` STRING [batch, 1] -> `scores` FP32 [batch, languages] and `label` STRING [batch, 1].

    Tokenizer (an operator of ONNX Runtime's own, in every build of it) cuts the text into characters,
    LabelEncoder folds them, TfIdfVectorizer counts the n-grams; padding is in no n-gram and counts for
    nothing, so a row's answer does not depend on the rows beside it.
    """
    # The pool must hold all 1-grams, then all 2-grams, and so on; the column of each is its own index here.
    vocabulary = sorted(vectorizer.vocabulary_, key=lambda ngram: (len(ngram), ngram))
    columns = [int(vectorizer.vocabulary_[ngram]) for ngram in vocabulary]
    sizes = [len(ngram) for ngram in vocabulary]
    starts = [sum(size for size in sizes if size < length) for length in range(1, LONGEST_NGRAM + 1)]
    folding = _folding()
    nodes = [
        helper.make_node("Squeeze", ["text", "axis_1"], ["texts"], name="one_text_a_row"),
        # The spaces are more than the edges of words: a batch of empty texts alone would have no characters
        # at all, and be answered otherwise than an empty text among others.
        helper.make_node("StringConcat", ["space", "texts"], ["opened"], name="space_before"),
        helper.make_node("StringConcat", ["opened", "space"], ["closed"], name="space_after"),
        helper.make_node(
            "Tokenizer", ["closed"], ["characters"], name="characters", domain="com.microsoft",
            mark=0, mincharnum=1, pad_value=PADDING, separators=[""],
        ),
        helper.make_node(
            "LabelEncoder", ["characters"], ["letters"], name="fold", domain="ai.onnx.ml",
            keys_strings=list(folding), values_strings=list(folding.values()), default_string=" ",
        ),
        helper.make_node(
            "TfIdfVectorizer", ["letters"], ["counts"], name="ngrams", mode="TF",
            min_gram_length=1, max_gram_length=LONGEST_NGRAM, max_skip_count=0, ngram_counts=starts,
            ngram_indexes=list(range(len(vocabulary))), pool_strings=list("".join(vocabulary)),
        ),
        helper.make_node("Mul", ["counts", "idf"], ["weighted"], name="weigh"),
        helper.make_node("LpNormalization", ["weighted"], ["features"], name="unit_length", axis=1, p=2),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["logits"], name="classify"),
        helper.make_node("Softmax", ["logits"], ["scores"], name="softmax", axis=-1),
        helper.make_node("ArgMax", ["scores"], ["best"], name="best", axis=1, keepdims=1),
        helper.make_node("Gather", ["languages", "best"], ["label"], name="name"),
    ]  # fmt: skip
    return helper.make_graph(
        nodes,
        "language",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["batch", 1])],
        [
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(LANGUAGES)]),
            helper.make_tensor_value_info("label", TensorProto.STRING, ["batch", 1]),
        ],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axis_1"),
            numpy_helper.from_array(np.array(" ", dtype=object), "space"),
            weights("idf", vectorizer.idf_[columns]),
            weights("weights", classifier.coef_[:, columns].T),
            weights("bias", classifier.intercept_),
            numpy_helper.from_array(np.array(LANGUAGES, dtype=object), "languages"),
        ],
        # onnx cannot infer what Tokenizer gives, and its shape inference crashes on a LabelEncoder whose
        # input it does not know.
        value_info=[helper.make_tensor_value_info("characters", TensorProto.STRING, ["batch", "characters"])],
    )


def answers(path: Path, texts: list[str]) -> tuple[FloatArray, list[str]]:
    """Scores FP32 [n, languages] and labels of the texts, by plain ONNX Runtime, in one batch."""
    column = np.array(texts, dtype=object).reshape(-1, 1)
    outputs: list[Any] = open_session(path).run(["scores", "label"], {"text": column})
    return outputs[0], outputs[1].ravel().tolist()


def accuracy(path: Path, sentences: Sentences) -> float:
    """The share of the sentences whose language the file at `path` names rightly."""
    _, labels = answers(path, sentences.texts)
    right = [LANGUAGES[index] == label for index, label in zip(sentences.languages, labels, strict=True)]
    return sum(right) / len(right)


def main() -> None:
    path = REPOSITORY / "language" / "1" / "model.onnx"
    write_model(
        language_graph(*train(read_sentences("train"))),
        path,
        doc="The language of a sentence, by character n-grams: " + ", ".join(LANGUAGES) + ".",
        domains={"ai.onnx.ml": 2, "com.microsoft": 1},
    )
    held_out = read_sentences("held_out")
    right, size = accuracy(path, held_out), path.stat().st_size
    print(f"language: {right:.2%} of {len(held_out.texts)} held-out sentences, {size:,} bytes")


if __name__ == "__main__":
    main()
