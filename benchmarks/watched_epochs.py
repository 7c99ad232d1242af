"""What an epoch of `fit` takes beside its steps where something looks at it.

`python -m benchmarks.watched_epochs` trains 2-4-2 with four samples and prints µs for an epoch, the shortest
of many trainings by turns, and how much longer it takes with a callback, validation data or a metric.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import Budget, Candidate, compare
from typednn import Callback, HiddenLayer, InputLayer, Network, OutputLayer, Run, use_threads
from typednn.tables import aligned

EPOCHS = 1000
SECONDS = 8.0


class Look(Callback):
    """Looks at each epoch."""

    def on_epoch(self, run: Run) -> None:
        """Reads the number of the epoch."""
        assert run.epoch


X, LABELS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([0, 1, 1, 0])
SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "nothing looks at it": dict,
    "a callback": lambda: {"callbacks": [Look()]},
    "validation data": lambda: {"validation_data": (X, LABELS)},
    "the accuracy of the training data": lambda: {"metrics": ["accuracy"]},
}


def main() -> int:
    """Times trainings with each setting."""
    with use_threads(1):
        candidates = [Candidate(each, partial(train, each), EPOCHS) for each in SETTINGS]
        timing = compare(candidates, Budget(SECONDS))
    shortest = {each: timing.shortest(each) * 1e6 for each in SETTINGS}
    base = shortest["nothing looks at it"]
    rows = [("epoch", "µs", "beside its steps")]
    rows += [(each, f"{taken:.1f}", f"{taken - base:.1f}") for each, taken in shortest.items()]
    print(*aligned(rows), sep="\n")
    return 0


def train(setting: str) -> None:
    """Trains a new network."""
    layers = [InputLayer(2), HiddenLayer(4, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
    network = Network(layers, np.float32, seed=0)
    network.fit(X, LABELS, epochs=EPOCHS, batch_size=4, progress=False, **SETTINGS[setting]())


if __name__ == "__main__":
    sys.exit(main())
