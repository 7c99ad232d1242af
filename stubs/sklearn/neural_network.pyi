from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

class _MLP:
    coefs_: list[NDArray[np.floating]]
    intercepts_: list[NDArray[np.floating]]
    loss_curve_: list[float]
    best_loss_: float
    t_: int
    n_iter_: int
    def __init__(self, *arguments: Any, **settings: Any) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class MLPClassifier(_MLP):
    def partial_fit(self, X: NDArray[np.floating], y: Any, *, classes: Any = ...) -> Self: ...

class MLPRegressor(_MLP):
    def partial_fit(self, X: NDArray[np.floating], y: Any) -> Self: ...
