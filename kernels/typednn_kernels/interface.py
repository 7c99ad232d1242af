"""Defines what a set of kernels computes: `plain` (NumPy) and `compiled` (numba) both implement all of it.

Shapes: `B` samples, `n` units of the layer, `n_prev` of the layer before. Float arrays have one dtype,
float32 or float64; all arrays but `Strided` ones are C-contiguous. Each docstring says what is written, which
may not overlap what is read. `activation` and `loss` are codes, that is, places in the tables of
`activations` and `losses`.

Those from `forward` on but `shuffle` work on a whole network: `parameters` is its flat vector, `layout` says
where the elements of each layer lie in it and in the flat vectors of a `Workspace`. The output layer's block
of `dLdh` holds dLdy. The input layer's block of `a` is written only if the input layer has an activation.

`key` is that of a training step and decides which units are dropped, or `dropout.INFERENCE`. With another
key, batches are normalised by their own mean and variance, and the running mean and variance are updated,
except those of frozen layers.
"""

from __future__ import annotations

from typing import Protocol

from typednn_kernels.arrays import Cube, F, Layout, Matrix, Order, Strided, Vector
from typednn_kernels.normalizations import Settings
from typednn_kernels.operands import Epoch, OptimizerSteps, Workspace


class Kernels(Protocol):
    """The kernels, one at a time for a layer, or fused for a network."""

    def activation_value(self, activation: int, a: Matrix[F], y: Matrix[F]) -> None:
        """Writes y = f(a), all (B, n)."""

    def activation_derivative(
        self, activation: int, a: Matrix[F], y: Matrix[F], derivative: Matrix[F]
    ) -> None:
        """Writes the `derivative` dy/da, all (B, n); not for softmax and log_softmax."""

    def activation_backward(
        self, activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
    ) -> None:
        """Writes dLda = dLdy * dy/da, all (B, n); for softmax and log_softmax with the Jacobian."""

    def softmax_jacobian(self, y: Matrix[F], dyda: Cube[F]) -> None:
        """Writes dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""

    def affine(self, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
        """Writes a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n).

        Where W is (n, 0), the layer has no weights, and a = x + bias; here and in the next two.
        """

    def outer(self, dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
        """Writes dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev); (n, 0) stays empty."""

    def sum_samples(self, dLda: Matrix[F], dLdBias: Vector[F]) -> None:
        """Writes dLdBias, the sum of dLda over samples, from (B, n) to (n,)."""

    def backpropagate(self, dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
        """Writes dLdh = dLda W, or dLda, of the layer below, from (B, n) and (n, n_prev) to (B, n_prev)."""

    def loss_value(
        self, loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
    ) -> None:
        """Writes `losses`, the loss of each sample (B,), from pre-activations, outputs and targets (B, n)."""

    def loss_derivative(self, loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
        """Writes dLdy, the gradient of the batch's mean loss with respect to the outputs, (B, n)."""

    def output_delta(
        self,
        loss: int,
        activation: int,
        a: Matrix[F],
        y: Matrix[F],
        t: Matrix[F],
        dLdy: Matrix[F],
        dLda: Matrix[F],
    ) -> None:
        """Writes dLdy and dLda of the output layer, all (B, n); in a stable form where the pair has one."""

    def normalize(
        self,
        settings: Settings,
        training: bool,
        z: Matrix[F],
        gain: Vector[F],
        bias: Vector[F],
        running: Matrix[F],
        inv_std: Vector[F],
        a: Matrix[F],
    ) -> None:
        """Normalises z (B, n) in place; writes a = gain z + bias, and the inv_std of z, (n,) or (B,).

        Batch normalisation reads running mean and variance (2, n), or in training updates them in place.
        """

    def normalization_backward(
        self,
        normalization: int,
        training: bool,
        z: Matrix[F],
        gain: Vector[F],
        inv_std: Vector[F],
        dLda: Matrix[F],
        dLdBias: Vector[F],
        dLdGain: Vector[F],
        dLdz: Matrix[F],
    ) -> None:
        """Writes dLdz (B, n), dLdBias and dLdGain (n,), from dLda and what `normalize` wrote."""

    def try_copy_sample(self, values: Strided[F], lowest: float, highest: float, sample: Matrix[F]) -> bool:
        """Copies values (n,), which need not be contiguous, to a sample (1, n) if they fit; returns whether.

        They fit if there are n of them, all finite and within the limits; otherwise nothing is written.
        """
        ...

    def layer_forward(
        self, activation: int, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F], h: Matrix[F]
    ) -> None:
        """Writes a = x W^T + bias and h = f(a): `affine` and `activation_value`."""

    def hidden_layer_backward(
        self,
        activation: int,
        dLda_next: Matrix[F],
        W_next: Matrix[F],
        a: Matrix[F],
        h: Matrix[F],
        h_prev: Matrix[F],
        dLdh: Matrix[F],
        dLda: Matrix[F],
        dLdW: Matrix[F],
    ) -> None:
        """Writes dLdh, dLda, dLdW of a hidden layer: `backpropagate`, `activation_backward`, `outer`."""

    def output_layer_backward(
        self,
        loss: int,
        activation: int,
        a: Matrix[F],
        y: Matrix[F],
        t: Matrix[F],
        h_prev: Matrix[F],
        dLdy: Matrix[F],
        dLda: Matrix[F],
        dLdW: Matrix[F],
    ) -> None:
        """Writes dLdy, dLda and dLdW of the output layer: `output_delta` and `outer`."""

    def apply_dropout(self, key: int, layer: int, threshold: int, h: Matrix[F]) -> None:
        """Sets h (B, n) to 0 where the step drops a unit, and divides the rest by the fraction kept."""

    def forward(
        self, parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], workspace: Workspace[F]
    ) -> bool:
        """Computes all activations of a network for the samples x (B, n_inputs) if they fit; returns whether.

        They fit if there is one at least, of n_inputs finite elements; otherwise nothing is written. Writes
        `a` and `h` of the workspace, and in training the running moments in `parameters`.
        """
        ...

    def predict(
        self, parameters: Vector[F], layout: Layout, x: Matrix[F], memory: Vector[F], outputs: Matrix[F]
    ) -> bool:
        """Writes the outputs (B, n_outputs) of the samples x (B, n_inputs), if they fit; returns whether.

        They fit as in `forward`. `memory` is for what is computed between, at least
        `layout.prediction_size` elements.
        """
        ...

    def evaluate(
        self,
        parameters: Vector[F],
        layout: Layout,
        loss: int,
        x: Matrix[F],
        t: Matrix[F],
        sample_weights: Vector[F],
        workspace: Workspace[F],
        losses: Vector[F],
    ) -> None:
        """Writes the loss of each sample to `losses` (B,), as in inference.

        x is `(B, n_inputs)`, t is `(B, n_outputs)`; B is 1 at least. Each loss is multiplied by the weight of
        its sample, unless `sample_weights` is `(0,)`. Writes `a` and `h` of the workspace, where those of the
        input layer need not be written.
        """

    def backward(
        self,
        parameters: Vector[F],
        layout: Layout,
        key: int,
        loss: int,
        t: Matrix[F],
        workspace: Workspace[F],
        gradient: Vector[F],
    ) -> None:
        """Computes all deltas after `forward`, and the gradient of the batch's mean loss.

        Writes `dLdh` and `dLda` of the workspace, and `gradient`: that with respect to the parameters, in
        their layout. t is `(B, n_outputs)`.
        """

    def loss_and_gradient(
        self,
        parameters: Vector[F],
        layout: Layout,
        key: int,
        loss: int,
        t: Matrix[F],
        limits: Vector[F],
        sample_weights: Vector[F],
        workspace: Workspace[F],
        losses: Vector[F],
        gradient: Vector[F],
    ) -> bool:
        """Does what `backward` does, if the targets t (B, n_outputs) fit; returns whether.

        They fit if there are as many as `losses`, of n_outputs elements, all finite and within the limits;
        otherwise nothing is written. Writes the loss of each sample to `losses` (B,). Losses and deltas are
        multiplied by the weight of their sample, unless `sample_weights` is `(0,)`.
        """
        ...

    def gradient_from_outputs(
        self,
        parameters: Vector[F],
        layout: Layout,
        key: int,
        dLdy: Matrix[F],
        workspace: Workspace[F],
        gradient: Vector[F],
    ) -> None:
        """Does what `backward` does, for an L of which dLdy (B, n_outputs) is the gradient."""

    def train_online(
        self,
        parameters: Vector[F],
        layout: Layout,
        loss: int,
        epoch: Epoch[F],
        learning_rate: F,
        workspace: Workspace[F],
    ) -> None:
        """Makes a step of gradient descent for each sample of the epoch, in its order.

        Writes `parameters`, the epoch's losses and the workspace. Only for networks without normalisation and
        dropout, and epochs without sample weights, in batches of one sample.
        """

    def train_batches(
        self,
        parameters: Vector[F],
        layout: Layout,
        key: int,
        loss: int,
        epoch: Epoch[F],
        optimizer: OptimizerSteps[F],
        workspace: Workspace[F],
        gradient: Vector[F],
    ) -> None:
        """Makes a step for each batch of the epoch.

        Writes `parameters`, the states of the optimizer, the epoch's losses, the workspace and `gradient`.
        `key` is that of the first step; each step has the next. The loss of a batch is the mean of its
        samples' losses, each times its weight. The training ends before a step of which a loss, a running
        mean or variance, or a bound of the gradient's norm, or that times the learning rate, is not finite;
        the losses from there on are NaN. The bound is that of Schwarz's inequality: the norm of all deltas
        times that of all inputs. Afterwards the last elements of `dLda` are the running means and variances
        before the last step, and `gradient` holds that of biases and gains; that of weights only if the
        update needed it.
        """

    def train_epoch(
        self,
        parameters: Vector[F],
        layout: Layout,
        order_key: int,
        step: int,
        key: int,
        loss: int,
        epoch: Epoch[F],
        optimizer: OptimizerSteps[F],
        workspace: Workspace[F],
        gradient: Vector[F],
    ) -> float:
        """Does what `shuffle` and `train_batches` do for a single epoch; returns the sum of the losses.

        The order is that of the key of the training and of the epoch's first `step`, or with an `order_key`
        of -1 the one that the epoch has. The sum is that of `sum_losses`; NaN for more than it takes.
        """
        ...

    def apply_gradient(
        self, parameters: Vector[F], gradient: Vector[F], optimizer: OptimizerSteps[F]
    ) -> bool:
        """Makes one step with a gradient, if its norm, and that times the learning rate, is finite.

        Writes `parameters` and the states of the optimizer, or nothing. Returns whether the step was made.
        """
        ...

    def sum_losses(self, losses: Vector[F]) -> float:
        """Returns the sum of at most `losses.MAX_SUMMED` losses, in double precision.

        It is that of `numpy.add.reduce`, to the bit, which takes five times as long for few of them.
        """
        ...

    def shuffle(self, key: int, first: int, increment: int, length: int, order: Order) -> None:
        """Writes to `order` a permutation of 0 … length - 1 for each epoch that it has room for.

        Each follows from the key of the training and the number of the epoch's first step: `first`, and
        `increment` more for each further epoch.
        """
