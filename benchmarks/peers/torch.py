"""PyTorch: the usual loop over samples or batches, with `torch.optim`; prediction; both passes alone."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from benchmarks.installed import package
from benchmarks.machine import cores
from benchmarks.networks import BETA_1, BETA_2, Array, Task, flat

torch: Any = package("torch")

ACTIVATIONS: dict[str, Any] = {
    "none": torch.nn.Identity,
    "sigmoid": torch.nn.Sigmoid,
    "relu": torch.nn.ReLU,
    "tanh": torch.nn.Tanh,
    "softmax": lambda: torch.nn.Softmax(dim=-1),
}
LOSSES: dict[tuple[str, str], Any] = {
    ("none", "MSE"): torch.nn.functional.mse_loss,
    ("sigmoid", "bincrossentropy"): torch.nn.functional.binary_cross_entropy_with_logits,
    ("softmax", "crossentropy"): torch.nn.functional.cross_entropy,
}
"""Losses of pre-activations, by output activation and loss."""


def network(task: Task) -> tuple[Any, list[Any]]:
    """Builds the network without its output activation; returns it and its linear layers."""
    lengths, names = task.architecture.lengths, task.architecture.activations
    linear = [torch.nn.Linear(n_prev, n) for n_prev, n in pairwise(lengths)]
    parts = [part for layer, name in zip(linear, names, strict=True) for part in (layer, ACTIVATIONS[name]())]
    model = torch.nn.Sequential(*parts[:-1]).to(getattr(torch, task.dtype.name))
    load(linear, task)
    return model, linear


def load(linear: list[Any], task: Task) -> None:
    """Copies the initial parameters into the layers."""
    with torch.no_grad():
        for layer, W, bias in zip(linear, task.weights, task.biases, strict=True):
            layer.weight.copy_(torch.tensor(W))
            layer.bias.copy_(torch.tensor(bias))


class TorchTrainer:
    """Trains in a Python loop, on one thread or on all cores."""

    choices = tuple({1, cores()})

    def __init__(self, task: Task) -> None:
        self.task = task
        self.choice = 1
        self._model, self._linear = network(task)
        self._loss = LOSSES[task.architecture.activations[-1], task.architecture.loss]
        self._optimizer = self._new_optimizer()
        targets = task.labels if task.architecture.loss == "crossentropy" else task.t
        self._x = torch.tensor(task.x).split(task.batch_size)
        self._t = torch.tensor(targets).split(task.batch_size)

    def reset(self) -> None:
        """Restores the initial parameters."""
        torch.set_num_threads(self.choice)
        load(self._linear, self.task)
        self._optimizer = self._new_optimizer()

    def train(self, samples: int) -> float:
        """Trains on the first samples."""
        steps = samples // self.task.batch_size
        total = 0.0
        for x, t in zip(self._x[:steps], self._t[:steps], strict=True):
            self._optimizer.zero_grad()
            loss = self._loss(self._model(x), t)
            loss.backward()
            self._optimizer.step()
            total += loss.item()
        return total / steps

    def _new_optimizer(self) -> Any:
        parameters, rate = self._model.parameters(), self.task.learning_rate
        if self.task.optimizer == "SGD":
            return torch.optim.SGD(parameters, lr=rate)
        return torch.optim.Adam(
            parameters, lr=rate, betas=(BETA_1, BETA_2), eps=self.task.epsilon, fused=True
        )

    def parameters(self) -> Array:
        """Returns the parameters as one vector."""
        return flat(
            [layer.weight.detach().numpy().copy() for layer in self._linear],
            [layer.bias.detach().numpy().copy() for layer in self._linear],
        )


class TorchPredictor:
    """Predicts samples (B, n_inputs) in inference mode, from and to NumPy, on one thread."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(1)
        model, _ = network(task)
        whole = torch.nn.Sequential(*model, ACTIVATIONS[task.architecture.activations[-1]]())

        def run() -> Array:
            with torch.inference_mode():
                outputs: Array = whole(torch.from_numpy(task.x)).numpy()
            return outputs

        self.run = run


class TorchForwardAndBackward:
    """Computes the gradient of the mean loss of a batch, on one thread."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(1)
        model, self._linear = network(task)
        loss_of = LOSSES[task.architecture.activations[-1], task.architecture.loss]
        targets = task.labels if task.architecture.loss == "crossentropy" else task.t
        x, t = torch.tensor(task.x), torch.tensor(targets)

        def run() -> None:
            model.zero_grad()
            loss_of(model(x), t).backward()

        self.run = run

    def result(self) -> Array:
        """Returns the gradient as one vector."""
        return flat(
            [layer.weight.grad.numpy() for layer in self._linear],
            [layer.bias.grad.numpy() for layer in self._linear],
        )
