from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

def accuracy_score(
    y_true: NDArray[np.integer],
    y_pred: NDArray[np.integer],
    *,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
def log_loss(
    y_true: NDArray[np.integer], y_proba: NDArray[np.floating], *, labels: Sequence[int]
) -> float: ...
def mean_absolute_error(
    y_true: NDArray[np.floating],
    y_pred: NDArray[np.floating],
    *,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
def r2_score(
    y_true: NDArray[np.floating],
    y_pred: NDArray[np.floating],
    *,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
def mean_squared_error(
    y_true: NDArray[np.floating],
    y_pred: NDArray[np.floating],
    *,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
def top_k_accuracy_score(
    y_true: NDArray[np.integer],
    y_score: NDArray[np.floating],
    *,
    k: int,
    labels: Sequence[int] | None,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
def f1_score(
    y_true: NDArray[np.integer],
    y_pred: NDArray[np.integer],
    *,
    average: Literal["macro", "binary"],
    labels: Sequence[int] | None,
    zero_division: float,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
def roc_auc_score(
    y_true: NDArray[np.integer | np.bool],
    y_score: NDArray[np.floating],
    *,
    sample_weight: NDArray[np.floating] | None = ...,
) -> float: ...
