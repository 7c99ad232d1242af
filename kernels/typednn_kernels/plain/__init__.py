"""Collects the kernels in NumPy: the reference for the compiled ones, and what runs without numba.

What overflows or is not a number raises no warning: input validation and training look for results that are
not finite. They say so once here, for the kernels that others call; NumPy takes as long for that as for a
product of small matrices.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typednn_kernels.plain.activation import (
        activation_backward,
        activation_derivative,
        activation_value,
        softmax_jacobian,
    )
    from typednn_kernels.plain.dense import affine, backpropagate, outer, sum_samples
    from typednn_kernels.plain.loss import loss_derivative, loss_value, output_delta, sum_losses
    from typednn_kernels.plain.normalization import apply_dropout, normalization_backward, normalize
    from typednn_kernels.plain.optimizer_step import apply_gradient
    from typednn_kernels.plain.order import shuffle
    from typednn_kernels.plain.passes import (
        backward,
        evaluate,
        forward,
        gradient_from_outputs,
        loss_and_gradient,
        predict,
        train_batches,
        train_epoch,
        train_online,
    )
    from typednn_kernels.plain.single_layer import (
        hidden_layer_backward,
        layer_forward,
        output_layer_backward,
        try_copy_sample,
    )
else:
    from typednn_kernels.plain import (
        activation,
        dense,
        loss,
        normalization,
        optimizer_step,
        order,
        passes,
        single_layer,
    )

    _silent = np.errstate(all="ignore")

    activation_backward = _silent(activation.activation_backward)
    activation_derivative = _silent(activation.activation_derivative)
    activation_value = _silent(activation.activation_value)
    affine = _silent(dense.affine)
    apply_gradient = _silent(optimizer_step.apply_gradient)
    apply_dropout = _silent(normalization.apply_dropout)
    backpropagate = _silent(dense.backpropagate)
    backward = _silent(passes.backward)
    evaluate = _silent(passes.evaluate)
    forward = _silent(passes.forward)
    gradient_from_outputs = _silent(passes.gradient_from_outputs)
    hidden_layer_backward = _silent(single_layer.hidden_layer_backward)
    layer_forward = _silent(single_layer.layer_forward)
    loss_and_gradient = _silent(passes.loss_and_gradient)
    loss_derivative = _silent(loss.loss_derivative)
    loss_value = _silent(loss.loss_value)
    normalization_backward = _silent(normalization.normalization_backward)
    normalize = _silent(normalization.normalize)
    outer = _silent(dense.outer)
    output_delta = _silent(loss.output_delta)
    output_layer_backward = _silent(single_layer.output_layer_backward)
    predict = _silent(passes.predict)
    shuffle = order.shuffle
    softmax_jacobian = _silent(activation.softmax_jacobian)
    sum_losses = _silent(loss.sum_losses)
    sum_samples = _silent(dense.sum_samples)
    train_batches = _silent(passes.train_batches)
    train_epoch = _silent(passes.train_epoch)
    train_online = _silent(passes.train_online)
    try_copy_sample = _silent(single_layer.try_copy_sample)

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
