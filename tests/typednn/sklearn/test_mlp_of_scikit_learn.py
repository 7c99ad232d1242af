"""scikit-learn's own tests of its multilayer perceptrons, as installed, run against ours."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("sklearn")

import sklearn.neural_network

from typednn.sklearn import MLPClassifier, MLPRegressor

PRIVATE = {
    "test_fit": "makes the private _coef_grads, _intercept_grads and _no_improvement_count by hand",
    "test_gradient": "calls the private _loss_grad_lbfgs",
}
"""The tests that write or call what is private; `test_against_scikit_learn` checks the same without."""

pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.full("they take 15 seconds"),
]


@pytest.fixture
def global_random_seed() -> int:
    """The seed, a fixture of scikit-learn."""
    return 42


@pytest.fixture(autouse=True)
def optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the rates of ours visible where two tests look, in the private `_optimizer`."""
    monkeypatch.setattr(MLPClassifier, "_optimizer", property(optimizer_state), raising=False)


def optimizer_state(model: MLPClassifier) -> object:
    """The state of an optimiser, which has its learning rate."""
    assert model._trainer is not None
    return model._trainer.optimizer_state


def their_tests() -> dict[str, Callable[..., None]]:
    """Returns the tests of the installed module, imported with our estimators in the place of theirs."""
    spec = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    theirs: Any = sklearn.neural_network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "MLPClassifier", MLPClassifier)
        patch.setattr(theirs, "MLPRegressor", MLPRegressor)
        spec.loader.exec_module(module)
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


TESTS = their_tests()
globals().update({name: test for name, test in TESTS.items() if name not in PRIVATE})


def test_those_that_are_left_out_exist() -> None:
    assert set(PRIVATE) - set(TESTS) == set()
    assert len(TESTS) > 40
