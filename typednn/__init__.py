"""typednn: backpropagation that one can read, run and trust.

The classic door: `InputLayer`, `HiddenLayer`, `OutputLayer` in a plain list, `gradient_descent_epoch`.
The typed door: `Network`, `Network.forward`, `Network.fit`. Both run the same kernels on the same memory.
"""

from typednn.backends import backend, use_backend
from typednn.errors import (
    ArrayTypeError,
    DataError,
    DivergenceError,
    FileFormatError,
    FormulaError,
    MissingExtraError,
    NotReadyError,
    SettingError,
    ShapeError,
    TypednnError,
    UnknownNameError,
    WiringError,
)
from typednn.gradient_checking import GradientReport, gradcheck
from typednn.layers import HiddenLayer, InputLayer, OutputLayer
from typednn.model_files import load, save
from typednn.networks import Evaluation, ForwardPass, Gradients, LayerGradients, Network, Predictor
from typednn.registration import register_activation, register_loss
from typednn.training import History, gradient_descent_epoch, gradient_descent_threshold

__all__ = [
    "ArrayTypeError",
    "DataError",
    "DivergenceError",
    "Evaluation",
    "FileFormatError",
    "FormulaError",
    "ForwardPass",
    "GradientReport",
    "Gradients",
    "HiddenLayer",
    "History",
    "InputLayer",
    "LayerGradients",
    "MissingExtraError",
    "Network",
    "NotReadyError",
    "OutputLayer",
    "Predictor",
    "SettingError",
    "ShapeError",
    "TypednnError",
    "UnknownNameError",
    "WiringError",
    "backend",
    "gradcheck",
    "gradient_descent_epoch",
    "gradient_descent_threshold",
    "load",
    "register_activation",
    "register_loss",
    "save",
    "use_backend",
]
