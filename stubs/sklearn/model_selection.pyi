from typing import Any

import numpy as np
from numpy.typing import NDArray

def train_test_split(
    array: NDArray[Any],
    *arrays: NDArray[Any],
    random_state: np.random.RandomState | int | None = ...,
    test_size: float | None = ...,
    stratify: NDArray[Any] | None = ...,
) -> list[Any]: ...

class GridSearchCV:
    best_estimator_: Any
    best_score_: float
    cv_results_: dict[str, Any]
    def __init__(self, estimator: Any, param_grid: dict[str, Any], *, cv: int, n_jobs: int = ...) -> None: ...
    def fit(self, X: Any, y: Any) -> GridSearchCV: ...
    def score(self, X: Any, y: Any) -> float: ...

def cross_val_score(
    estimator: Any, X: Any, y: Any, *, cv: int = ..., n_jobs: int = ...
) -> NDArray[np.float64]: ...
