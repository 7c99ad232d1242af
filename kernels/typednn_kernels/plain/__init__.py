"""The kernels in NumPy: the reference, and what runs where numba does not."""

from typednn_kernels.plain.activation import (
    activation_slope,
    activation_value,
    slope_product,
    softmax_jacobian,
)
from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.plain.loss import loss_slope, loss_value, output_error
from typednn_kernels.plain.normalization import drop, normalization_error, normalize
from typednn_kernels.plain.passes import backward, forward, train_batches, train_online
from typednn_kernels.plain.single_layer import ascend, descend, descend_from_targets, take_sample

__all__ = [
    "activation_slope",
    "activation_value",
    "affine",
    "ascend",
    "backpropagate",
    "backward",
    "descend",
    "descend_from_targets",
    "drop",
    "forward",
    "loss_slope",
    "loss_value",
    "normalization_error",
    "normalize",
    "outer",
    "output_error",
    "slope_product",
    "softmax_jacobian",
    "sum_samples",
    "take_sample",
    "train_batches",
    "train_online",
]
