"""Table of all candidates by kind of work; each is imported only when it takes part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.installed import package
from benchmarks.networks import Array, Task


class Trainer(Protocol):
    """Trains the network of a task.

    A trainer that can run in several ways lists them in `choices`; before timing, `choice` is set to the
    fastest.
    """

    def __init__(self, task: Task) -> None: ...

    def reset(self) -> object:
        """Restores the initial parameters; not timed."""

    def train(self, samples: int) -> object:
        """Trains on the first `samples` samples, in order, and computes the loss at each step."""

    def parameters(self) -> Array:
        """Returns the parameters as a vector in the layout of `Task.parameters`."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a candidate is defined.

    Attributes:
        name: name in reports.
        module: module of `benchmarks.peers`.
        attribute: name of its class in the module.
        stepwise: whether it runs Python code at each step; it then trains fewer samples.
        in_order: whether it trains the samples in order, so that its parameters can be compared.
    """

    name: str
    module: str
    attribute: str
    stepwise: bool = False
    in_order: bool = True

    def make(self, task: Task) -> Any:
        """Creates the candidate for a task.

        Raises:
            AbsentError: its package is not installed, or it does not support the task.
        """
        return getattr(package(f"benchmarks.peers.{self.module}"), self.attribute)(task)


OURS = "typednn"
KERNELS = Peer(OURS, "typednn", "KernelTrainer")
FIT = Peer("typednn fit", "typednn", "FitTrainer")
JAX = Peer("JAX", "jax", "JaxTrainer")
TORCH = Peer("PyTorch", "torch", "TorchTrainer", stepwise=True)
SKLEARN = Peer("scikit-learn", "sklearn", "SklearnTrainer", stepwise=True)
ONLINE_PEERS = (
    KERNELS,
    FIT,
    Peer("C", "c", "CTrainer"),
    JAX,
    TORCH,
    SKLEARN,
    Peer("textbook", "layers_trainer", "TextbookEpochTrainer", stepwise=True),
)
BATCH_PEERS = (KERNELS, FIT, JAX, TORCH, SKLEARN)
CLASSIC_PEERS = (
    Peer(OURS, "typednn", "ClassicTrainer", stepwise=True),
    Peer("textbook", "layers_trainer", "TextbookTrainer", stepwise=True),
)
EPOCHS = "fit"
SHUFFLED = "fit, shuffled"
EPOCH_PEERS = (
    Peer(EPOCHS, "typednn", "EpochsTrainer"),
    Peer(SHUFFLED, "typednn", "ShuffledTrainer", in_order=False),
    Peer("gradient_descent_epoch", "typednn", "GradientDescentTrainer"),
    Peer("gradient_descent_threshold", "typednn", "ThresholdTrainer"),
    Peer("C", "c", "CTrainer"),
)
FULL_BATCH_PEERS = (*EPOCH_PEERS[:2], JAX)
STEP_PEERS = (
    Peer("Steps.train", "typednn", "StepsTrainer"),
    Peer("fit, one batch", "typednn", "FitTrainer"),
    TORCH,
)
STREAM_PEERS = (
    Peer("Steps.train", "typednn", "StreamTrainer", stepwise=True),
    KERNELS,
    TORCH,
    Peer("scikit-learn", "sklearn", "SklearnTrainer", stepwise=True),
)
NUMPY_PEERS = (
    Peer("fit on NumPy", "typednn", "NumpyFitTrainer"),
    Peer("textbook", "layers_trainer", "TextbookEpochTrainer"),
)
CALLERS = (
    Peer("predict", "typednn", "PlainPredictor"),
    Peer("ONNX Runtime", "onnx", "OnnxPredictor"),
    Peer("PyTorch", "torch", "TorchPredictor"),
)
PASSES = (
    Peer("forward(x).backward(y)", "typednn", "ForwardAndBackward"),
    Peer("PyTorch", "torch", "TorchForwardAndBackward"),
)
CALLS = frozenset(
    peers[k].name
    for peers, count in (
        *((EPOCH_PEERS, 4), (STEP_PEERS, 2), (STREAM_PEERS, 1)),
        *((NUMPY_PEERS, 1), (CALLERS, 1), (PASSES, 1)),
    )
    for k in range(count)
)
"""The names of typednn's calls."""

PREDICTORS = (
    Peer(OURS, "typednn", "FastPredictor"),
    Peer("typednn predict", "typednn", "PlainPredictor"),
    Peer("ONNX Runtime", "onnx", "OnnxPredictor"),
    Peer("PyTorch", "torch", "TorchPredictor"),
)
"""Candidates of each kind of comparison; typednn is the first and the reference of all ratios.

Calls have the names that users write.
"""
