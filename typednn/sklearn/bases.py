"""The base classes of scikit-learn, with the types that it does not declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

__all__ = ["BaseEstimator", "ClassifierMixin", "RegressorMixin"]

if TYPE_CHECKING:

    class BaseEstimator:
        """The base class of estimators."""

        def get_params(self, deep: bool = ...) -> dict[str, object]:
            """Returns the parameters by name."""
            ...

        def set_params(self, **params: object) -> Self:
            """Sets parameters."""
            ...

        @classmethod
        def _get_param_names(cls) -> list[str]: ...
        def _validate_params(self) -> None: ...
        def __getstate__(self) -> dict[str, object]: ...
        def __setstate__(self, state: dict[str, object]) -> None: ...
        def __sklearn_tags__(self) -> Any: ...

    class ClassifierMixin:
        """What classifiers have in common."""

    class RegressorMixin:
        """What regressors have in common."""

else:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
