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
from typednn_kernels.plain.passes import (
    backward,
    forward,
    gradient_from_outputs,
    loss_and_gradient,
    predict,
    train_batches,
    train_online,
)
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
    "backpropagate",
    "backward",
    "forward",
    "gradient_from_outputs",
    "hidden_layer_backward",
    "layer_forward",
    "loss_and_gradient",
    "loss_derivative",
    "loss_value",
    "normalization_backward",
    "normalize",
    "outer",
    "output_delta",
    "output_layer_backward",
    "predict",
    "softmax_jacobian",
    "sum_samples",
    "train_batches",
    "train_online",
    "try_copy_sample",
]
