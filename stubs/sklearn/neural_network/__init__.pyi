from typing import Any

MLPClassifier: Any
MLPRegressor: Any
