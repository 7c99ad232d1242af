"""scikit-learn estimators: MLPClassifier and MLPRegressor, and NetworkClassifier and NetworkRegressor.

>>> from sklearn.datasets import load_iris
>>> x, y = load_iris(return_X_y=True)
>>> MLPClassifier(learning_rate_init=0.01, tol=1e-3, random_state=0).fit(x, y).score(x, y) > 0.95
True
"""

from typednn.errors import MissingExtraError

try:
    import sklearn as _  # noqa: F401
except ImportError:
    raise MissingExtraError("scikit-learn", "typednn.sklearn", "sklearn") from None

from typednn.sklearn.classifiers import MLPClassifier, NetworkClassifier
from typednn.sklearn.regressors import MLPRegressor, NetworkRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"]
