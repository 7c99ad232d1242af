"""Estimators of scikit-learn: results have exact types, also where scikit-learn has none."""

from typing import assert_type

import numpy as np
from numpy.typing import NDArray

from typednn import HiddenLayer, History, InputLayer, Layer, OutputLayer
from typednn.network.network import AnyNetwork
from typednn.sklearn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor

x = np.random.default_rng(0).normal(size=(60, 3))
labels = np.array(["no", "yes"])[(x[:, 0] > 0).astype(int)]

classifier = MLPClassifier(
    [8, 4], ["tanh", "relu"], dropout=0.1, max_iter=5, n_iter_no_change=5, tol=0, solver="sgd"
)
classifier.set_params(verbose=False)
for _ in range(3):
    assert_type(classifier.partial_fit(x, labels, classes=["no", "yes"]), MLPClassifier)
assert_type(classifier.predict(x), NDArray[np.generic])
assert_type(classifier.predict_proba(x), np.ndarray[tuple[int, int], np.dtype[np.float32 | np.float64]])
assert_type(classifier.score(x, labels), float)
assert_type(classifier.network_, AnyNetwork)
assert_type(classifier.history_, History)
assert_type(classifier.get_params(), dict[str, object])


def build(inputs: int, outputs: int) -> list[Layer]:
    """Returns the layers of a network."""
    return [InputLayer(inputs), HiddenLayer(8, "gelu"), OutputLayer(outputs, "softmax", "crossentropy")]


for weighted in (
    MLPClassifier(class_weight={"no": 1.0, "yes": 2.5}),
    MLPClassifier(class_weight={0: 1.0, 1: 2}),
    MLPClassifier(class_weight={np.int64(0): 1.0, np.int64(1): 2.5}),
    MLPClassifier(class_weight={False: 1.0, True: 2.5}),
    MLPClassifier(class_weight="balanced"),
    NetworkClassifier(build, class_weight=dict(zip(["no", "yes"], [1.0, 2.5], strict=True))),
):
    assert_type(weighted, MLPClassifier | NetworkClassifier)

regressor = MLPRegressor("squared_error", 8, solver="lbfgs", max_iter=500, tol=0.1)
assert_type(regressor.fit(x.tolist(), x[:, 1].tolist()), MLPRegressor)
assert_type(regressor.predict(x), NDArray[np.float32 | np.float64])

network_classifier = NetworkClassifier(build, solver="lbfgs", tol=0.1)
assert_type(network_classifier.fit(x, labels), NetworkClassifier)
assert_type(NetworkClassifier.from_network(network_classifier.network_, ["no", "yes"]), NetworkClassifier)
assert_type(NetworkRegressor.from_network(regressor.network_).predict(x), NDArray[np.float32 | np.float64])
