"""JAX: one jitted call trains all samples, by `lax.scan` over them and `jax.grad` of the loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.installed import package
from benchmarks.networks import BETA_1, BETA_2, EPSILON, Array, Task, flat

jax: Any = package("jax")
jnp: Any = package("jax.numpy")

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "none": lambda a: a,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
}


def _binary_cross_entropy_of_logits(a: Any, t: Any) -> Any:
    return jnp.mean(jnp.maximum(a, 0) - a * t + jnp.log1p(jnp.exp(-jnp.abs(a))))


def _cross_entropy_of_logits(a: Any, t: Any) -> Any:
    return -jnp.mean(jnp.sum(t * jax.nn.log_softmax(a), axis=-1))


LOSSES: dict[tuple[str, str], Callable[[Any, Any], Any]] = {
    ("none", "MSE"): lambda a, t: jnp.mean((a - t) ** 2),
    ("sigmoid", "bincrossentropy"): _binary_cross_entropy_of_logits,
    ("softmax", "crossentropy"): _cross_entropy_of_logits,
}
"""Losses of pre-activations, by output activation and loss."""


class JaxTrainer:
    """Trains in one compiled call; a sample is a vector, a batch a matrix; weights are `(n_prev, n)`.

    Transposed weights and samples as rows are not faster. `choices`: by how many steps the scan is unrolled.
    """

    choices = (1, 4)

    def __init__(self, task: Task) -> None:
        self.task = task
        hidden = [ACTIVATIONS[name] for name in task.architecture.activations[:-1]]
        loss_of = LOSSES[task.architecture.activations[-1], task.architecture.loss]
        rate = task.dtype.type(task.learning_rate)

        def loss(parameters: Any, x: Any, t: Any) -> Any:
            *lower, (W, bias) = parameters
            h = x
            for (W_hidden, bias_hidden), activation in zip(lower, hidden, strict=True):
                h = activation(h @ W_hidden + bias_hidden)
            return loss_of(h @ W + bias, t)

        def sgd(state: Any, data: Any) -> tuple[Any, Any]:
            parameters, *rest = state
            value, gradients = jax.value_and_grad(loss)(parameters, *data)
            return (jax.tree.map(lowered, parameters, gradients), *rest), value

        def lowered(p: Any, g: Any) -> Any:
            return p - rate * g

        def adam(state: Any, data: Any) -> tuple[Any, Any]:
            parameters, means, squares, steps = state
            value, gradients = jax.value_and_grad(loss)(parameters, *data)
            steps += 1
            root = jnp.sqrt(1 - BETA_2**steps)
            now, epsilon = rate * root / (1 - BETA_1**steps), EPSILON * root

            def mean(m: Any, g: Any) -> Any:
                return BETA_1 * m + (1 - BETA_1) * g

            def square(v: Any, g: Any) -> Any:
                return BETA_2 * v + (1 - BETA_2) * g * g

            def moved(p: Any, m: Any, v: Any) -> Any:
                return p - now * m / (jnp.sqrt(v) + epsilon)

            means = jax.tree.map(mean, means, gradients)
            squares = jax.tree.map(square, squares, gradients)
            return (jax.tree.map(moved, parameters, means, squares), means, squares, steps), value

        step = sgd if task.optimizer == "SGD" else adam

        self.choice = 1
        self._epochs = {
            unroll: jax.jit(partial(jax.lax.scan, step, unroll=unroll)) for unroll in self.choices
        }
        with self._precision():
            pairs = zip(task.weights, task.biases, strict=True)
            parameters = [(jnp.array(W.T), jnp.array(bias)) for W, bias in pairs]
            zeros = jax.tree.map(jnp.zeros_like, parameters)
            self._first = (parameters, zeros, zeros, jnp.zeros((), task.dtype))
            self._data: dict[int, tuple[Any, Any]] = {}
        self.reset()

    def reset(self) -> None:
        """Restores the initial parameters."""
        self._now = self._first

    def train(self, samples: int) -> None:
        """Trains on the first samples and waits for the result."""
        with self._precision():
            if samples not in self._data:
                self._data[samples] = self._batches(self.task.x, samples), self._batches(self.task.t, samples)
            self._now, losses = self._epochs[self.choice](self._now, self._data[samples])
            jax.block_until_ready((self._now, losses))

    def parameters(self) -> Array:
        """Returns the parameters as one vector."""
        layers = self._now[0]
        return flat([np.asarray(W).T for W, _ in layers], [np.asarray(bias) for _, bias in layers])

    def _batches(self, array: Array, samples: int) -> Any:
        batch = self.task.batch_size
        shape = (samples, -1) if batch == 1 else (samples // batch, batch, array.shape[1])
        return jnp.array(array[:samples].reshape(shape))

    def _precision(self) -> Any:
        return jax.enable_x64(self.task.dtype == np.float64)
