"""Collects the kernels compiled by numba; it is imported when one is first needed."""

from typednn_kernels.compiled._codegen.function_tables import start_threads_for_first_calls
from typednn_kernels.compiled.linalg.dense import affine, backpropagate, outer, sum_samples
from typednn_kernels.compiled.math import functions as functions  # what formulas may call
from typednn_kernels.compiled.network.evaluation import evaluate, sum_losses
from typednn_kernels.compiled.network.minibatch import apply_gradient, train_batches, train_epoch
from typednn_kernels.compiled.network.online import train_online
from typednn_kernels.compiled.network.order import shuffle
from typednn_kernels.compiled.network.single_layer import (
    hidden_layer_backward,
    layer_forward,
    output_layer_backward,
    try_copy_sample,
)
from typednn_kernels.compiled.network.whole_passes import (
    backward,
    forward,
    gradient_from_outputs,
    loss_and_gradient,
    predict,
)
from typednn_kernels.compiled.ops.activation import (
    activation_backward,
    activation_derivative,
    activation_value,
    softmax_jacobian,
)
from typednn_kernels.compiled.ops.loss import loss_derivative, loss_value, output_delta
from typednn_kernels.compiled.ops.normalization import apply_dropout, normalization_backward, normalize

__all__ = [
    "activation_backward",
    "activation_derivative",
    "activation_value",
    "affine",
    "apply_dropout",
    "apply_gradient",
    "backpropagate",
    "backward",
    "evaluate",
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
    "shuffle",
    "softmax_jacobian",
    "sum_losses",
    "sum_samples",
    "train_batches",
    "train_epoch",
    "train_online",
    "try_copy_sample",
]

start_threads_for_first_calls()
