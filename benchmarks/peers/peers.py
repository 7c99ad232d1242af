"""What all contestants of a training have in common, and which of them are here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from benchmarks.cases.networks import Array, Task


class AbsentError(Exception):
    """A peer is not installed, or cannot do what is asked; the message says which and why."""


class Trainer(Protocol):
    """Trains the network of a task.

    A contestant that may be run in several ways lists them as `choices`; before it is timed, `choice` is set
    to the fastest of them.
    """

    def __init__(self, task: Task) -> None: ...

    def reset(self) -> object:
        """Goes back to the first parameters; not timed."""

    def train(self, samples: int) -> object:
        """Steps of gradient descent over the first samples, in order, and the losses on the way."""

    def parameters(self) -> Array:
        """The parameters now, in the layout of `Task.parameters`."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a contestant is written. `stepwise` ones run Python at every step, so they may train fewer."""

    name: str
    module: str
    attribute: str
    stepwise: bool = False

    def make(self, task: Task) -> Any:
        """The contestant.

        Raises:
            AbsentError: its package is not installed, or it cannot do what is asked.
        """
        return getattr(package(f"benchmarks.{self.module}"), self.attribute)(task)


OURS = "typednn"
KERNELS = Peer(OURS, "ours", "KernelTrainer")
FIT = Peer("typednn fit", "ours", "FitTrainer")
JAX = Peer("JAX", "peers_jax", "JaxTrainer")
TORCH = Peer("PyTorch", "peers_torch", "TorchTrainer", stepwise=True)
SKLEARN = Peer("scikit-learn", "peers_sklearn", "SklearnTrainer", stepwise=True)
ONLINE_PEERS = (
    KERNELS,
    FIT,
    Peer("C", "ours", "CTrainer"),
    JAX,
    TORCH,
    SKLEARN,
    Peer("textbook", "ours", "TextbookEpochTrainer", stepwise=True),
)
BATCH_PEERS = (KERNELS, FIT, JAX, TORCH, SKLEARN)
CLASSIC_PEERS = (
    Peer(OURS, "ours", "ClassicTrainer", stepwise=True),
    Peer("textbook", "ours", "TextbookTrainer", stepwise=True),
)
PREDICTORS = (
    Peer(OURS, "ours", "FastPredictor"),
    Peer("typednn predict", "ours", "PlainPredictor"),
    Peer("ONNX Runtime", "peers_onnx", "OnnxPredictor"),
    Peer("PyTorch", "peers_torch", "TorchPredictor"),
)
"""Who competes in what; ours comes first."""

DISTRIBUTIONS = ("numpy", "scipy", "numba", "llvmlite", "jax", "torch", "scikit-learn", "onnxruntime")


def package(name: str) -> Any:
    """The module of that name, whose types are not looked at.

    Raises:
        AbsentError: it cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise AbsentError(f"{error.name or name} is not installed") from error


def versions() -> dict[str, str]:
    """The versions of all packages that take part; "absent" for those that are not here."""
    found: dict[str, str] = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
