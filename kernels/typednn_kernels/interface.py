"""What a set of kernels can do: `plain` (NumPy) and `compiled` (numba) both do all of it.

Shapes: `B` samples, `n` units of the layer, `n_prev` of the layer before. All arrays are C-contiguous and
of one dtype, float32 or float64; results go into the array named last, which may not overlap the others.
`activation` and `loss` are codes, that is, places in the tables of `activations` and `losses`.

The last four work on a whole network: `parameters` is its flat vector and `layout` says where each
layer's numbers lie in it and in the flat workspaces `a`, `h`, `dLdh`, `dLda`, of at least `B * units`
numbers each; `a` and `dLda` hold more where layers are normalised. The block of the output layer in `dLdh`
holds dLdy. The input layer's block of `a` is written only when the input layer has an activation.

`key` is that of a training step, from which it follows which units are dropped; or `dropout.PREDICTING`. With
another key, batches are normalised by their own mean and variance, and their moving averages are updated,
but of frozen layers.
"""

from __future__ import annotations

from typing import Protocol

from typednn_kernels.arrays import Cube, F, Layout, Matrix, Order, Ranges, Strided, Vector


class Kernels(Protocol):
    """The kernels, one at a time for a layer, or fused for a network."""

    def activation_value(self, activation: int, a: Matrix[F], y: Matrix[F]) -> None:
        """y = f(a), all (B, n)."""

    def activation_derivative(
        self, activation: int, a: Matrix[F], y: Matrix[F], derivative: Matrix[F]
    ) -> None:
        """slope = dy/da, all (B, n); not for softmax."""

    def activation_backward(
        self, activation: int, a: Matrix[F], y: Matrix[F], dLdy: Matrix[F], dLda: Matrix[F]
    ) -> None:
        """dLda = dLdy * dy/da, all (B, n); for softmax the product with the Jacobian, y (g - <g, y>)."""

    def softmax_jacobian(self, y: Matrix[F], dyda: Cube[F]) -> None:
        """dyda[s] = diag(y[s]) - y[s] y[s]^T, (B, n, n)."""

    def affine(self, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F]) -> None:
        """a = x W^T + bias, from (B, n_prev), (n, n_prev), (n,) to (B, n)."""

    def outer(self, dLda: Matrix[F], h_prev: Matrix[F], dLdW: Matrix[F]) -> None:
        """dLdW = dLda^T h_prev, from (B, n) and (B, n_prev) to (n, n_prev): the outer product for B = 1."""

    def sum_samples(self, dLda: Matrix[F], dLdBias: Vector[F]) -> None:
        """dLdBias = the sum over samples, from (B, n) to (n,)."""

    def backpropagate(self, dLda: Matrix[F], W: Matrix[F], dLdh: Matrix[F]) -> None:
        """dLdh = dLda W: the signal (B, n_prev) to the layer below, from (B, n) and (n, n_prev)."""

    def loss_value(
        self, loss: int, activation: int, a: Matrix[F], y: Matrix[F], t: Matrix[F], losses: Vector[F]
    ) -> None:
        """The loss of each sample (B,), given pre-activations, outputs and targets (B, n)."""

    def loss_derivative(self, loss: int, y: Matrix[F], t: Matrix[F], dLdy: Matrix[F]) -> None:
        """The slope (B, n) of the mean loss of the batch by the outputs."""

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
        """dLdy, and dLda of the output layer, all (B, n), in the stable form where the pair has one."""

    def normalize(
        self,
        normalization: int,
        training: bool,
        z: Matrix[F],
        gain: Vector[F],
        bias: Vector[F],
        running: Matrix[F],
        inv_std: Vector[F],
        a: Matrix[F],
    ) -> None:
        """Normalises z (B, n) in place; a = gain z + bias, and the inv_std of z, (n,) or (B,).

        Batch normalisation reads running mean and variance (2, n), or in training updates them.
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
        """dLdz (B, n), and the gradients (n,) by bias and gain, from dLda and what `normalize` left."""

    def try_copy_sample(self, given: Strided[F], lowest: float, highest: float, sample: Matrix[F]) -> bool:
        """Copies numbers (n,), which need not be contiguous, to a sample (1, n) if they fit; whether they do.

        They fit if there are n of them, all finite and within the limits.
        """
        ...

    def layer_forward(
        self, activation: int, x: Matrix[F], W: Matrix[F], bias: Vector[F], a: Matrix[F], h: Matrix[F]
    ) -> None:
        """a = x W^T + bias and h = f(a): `affine` and `activation_value`."""

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
        """dLdh, dLda and dLdW of a layer below another: `backpropagate`, `activation_backward`, `outer`."""

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
        """dLdy, dLda and dLdW of the output layer: `output_delta` and `outer`."""

    def apply_dropout(self, key: int, layer: int, threshold: int, h: Matrix[F]) -> None:
        """h (B, n), in place: 0 where the step drops a unit, else divided by the share that is kept."""

    def forward(
        self, parameters: Vector[F], layout: Layout, key: int, x: Matrix[F], a: Vector[F], h: Vector[F]
    ) -> None:
        """All activations of a network for the samples x (B, n_inputs)."""

    def backward(
        self,
        parameters: Vector[F],
        layout: Layout,
        key: int,
        loss: int,
        t: Matrix[F],
        a: Vector[F],
        h: Vector[F],
        dLdh: Vector[F],
        dLda: Vector[F],
        gradient: Vector[F],
    ) -> None:
        """All error signals, and the gradient of the mean loss in the layout of the parameters."""

    def train_online(
        self,
        parameters: Vector[F],
        layout: Layout,
        loss: int,
        x: Matrix[F],
        t: Matrix[F],
        order: Order,
        learning_rate: F,
        a: Vector[F],
        h: Vector[F],
        dLdh: Vector[F],
        dLda: Vector[F],
        losses: Vector[F],
    ) -> None:
        """A step of gradient descent for each sample of `order`; the loss of each before its step.

        Only for networks without normalisation and dropout.
        """

    def train_batches(
        self,
        parameters: Vector[F],
        layout: Layout,
        key: int,
        loss: int,
        x: Matrix[F],
        t: Matrix[F],
        sample_weights: Vector[F],
        order: Order,
        batch_size: int,
        rule: int,
        coefficients: Matrix[F],
        segments: Ranges,
        penalties: Matrix[F],
        a: Vector[F],
        h: Vector[F],
        dLdh: Vector[F],
        dLda: Vector[F],
        gradient: Vector[F],
        states: Matrix[F],
        losses: Vector[F],
    ) -> None:
        """A step for each `batch_size` samples of `order`, the last batch being what is left.

        `key` is that of the first step; each has the next. `rule` is a code, the place in the table of
        `updates`, where the columns of the next are named: `coefficients` has a row for each step, `segments`
        one for each part of the parameters that is trained, and `penalties` what belongs to it; `states` is
        what the rule remembers, with as many columns as the gradient has numbers. The loss of a batch is the
        mean of its samples' losses, each times its weight: `sample_weights` has one for each row of x, or
        none at all. Before a step of which the loss, or a moving average, is not finite, or the bound of
        Schwarz's inequality on the length of the gradient (the length of all error signals times that of all
        inputs), or that times the learning rate, the training ends; the losses from there on are NaN.
        Afterwards the last numbers of `dLda` are the moving averages before the last step, and `gradient` has
        what it gave by biases and gains; by weights only where it was needed.
        """
