"""Collects the kernels in NumPy: the reference for the compiled ones, and what runs without numba."""

from typednn_kernels.plain.activation import (
    activation_backward,
    activation_derivative,
    activation_value,
    softmax_jacobian,
)
from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.loss import loss_derivative, loss_value, output_delta
from typednn_kernels.plain.normalization import apply_dropout, normalization_backward, normalize
from typednn_kernels.plain.optimizer_step import apply_gradient
from typednn_kernels.plain.order import shuffle
from typednn_kernels.plain.passes import backward, forward, train_batches, train_online
from typednn_kernels.plain.single_layer import (
    hidden_layer_backward,
    layer_forward,
    output_layer_backward,
    try_copy_sample,
)

__all__ = [
    "activation_backward",
    "activation_derivative",
    "activation_value",
    "affine",
    "apply_dropout",
    "apply_gradient",
    "backpropagate",
    "backward",
    "forward",
    "hidden_layer_backward",
    "layer_forward",
    "loss_derivative",
    "loss_value",
    "normalization_backward",
    "normalize",
    "outer",
    "output_delta",
    "output_layer_backward",
    "shuffle",
    "softmax_jacobian",
    "sum_samples",
    "train_batches",
    "train_online",
    "try_copy_sample",
]
