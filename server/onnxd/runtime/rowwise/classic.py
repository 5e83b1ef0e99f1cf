"""The operators of ai.onnx.ml, whose tensors are [rows, features].

A vector they take for one row of features, so with rows on its only axis it is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from onnxd.runtime.rowwise.operation import Operation, Rule
from onnxd.runtime.rowwise.values import N, Shape, Tensor, Unproven, Value


def _table(op: Operation) -> Shape:
    shape = op.shape(0)
    if len(shape) != 2 or shape[0] is not N:
        raise Unproven("takes other than a table with a row for each row")
    return shape


def _features(op: Operation) -> Sequence[Value]:
    return [Tensor(_table(op))]


def _classifier(op: Operation) -> Sequence[Value]:
    _table(op)
    return [Tensor((N,)), Tensor((N, None))][: op.outputs]


def _regressor(op: Operation) -> Sequence[Value]:
    _table(op)
    return [Tensor((N, None))]


def _each(op: Operation) -> Sequence[Value]:
    return [Tensor(op.tensor(0).shape)]


def _one_hot(op: Operation) -> Sequence[Value]:
    return [Tensor((*op.shape(0), None))]


def _pick_features(op: Operation) -> Sequence[Value]:
    op.fixed_from(1)
    return [Tensor((*_table(op)[:1], None))]


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("Imputer", "Normalizer", "Scaler"), _features),
    **dict.fromkeys(("LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"), _classifier),
    **dict.fromkeys(("LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor"), _regressor),
    **dict.fromkeys(("Binarizer", "CategoryMapper", "LabelEncoder"), _each),
    "OneHotEncoder": _one_hot,
    "ArrayFeatureExtractor": _pick_features,
}
