"""The kernels compiled by numba: imported when they are first needed."""

from typednn_kernels.compiled.linalg.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.compiled.math import functions as functions  # what formulas may call
from typednn_kernels.compiled.network.minibatch import train_batches
from typednn_kernels.compiled.network.online import train_online
from typednn_kernels.compiled.network.passes import backward, forward
from typednn_kernels.compiled.network.single_layer import ascend, descend, descend_from_targets, take_sample
from typednn_kernels.compiled.ops.activation import (
    activation_slope,
    activation_value,
    slope_product,
    softmax_jacobian,
)
from typednn_kernels.compiled.ops.loss import loss_slope, loss_value, output_error
from typednn_kernels.compiled.ops.normalization import drop, normalization_error, normalize

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
