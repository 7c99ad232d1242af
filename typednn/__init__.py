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
from typednn.minimizers import Minimum, minimize
from typednn.model_files import load, save
from typednn.networks import Evaluation, ForwardPass, Gradients, LayerGradients, Network, Predictor
from typednn.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, RMSprop, Rprop
from typednn.schedules import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from typednn.training import History, gradient_descent_epoch, gradient_descent_threshold

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArrayTypeError",
    "CosineDecay",
    "CosineDecayRestarts",
    "DataError",
    "DivergenceError",
    "Evaluation",
    "ExponentialDecay",
    "FileFormatError",
    "ForwardPass",
    "GradientReport",
    "Gradients",
    "HiddenLayer",
    "History",
    "InputLayer",
    "InverseTimeDecay",
    "LayerGradients",
    "Lion",
    "Minimum",
    "MissingExtraError",
    "Nadam",
    "Network",
    "NotReadyError",
    "OneCycle",
    "Optimizer",
    "OutputLayer",
    "PiecewiseConstantDecay",
    "Predictor",
    "RMSprop",
    "ReduceOnPlateau",
    "Rprop",
    "Schedule",
    "SettingError",
    "ShapeError",
    "StepDecay",
    "TypednnError",
    "UnknownNameError",
    "WiringError",
    "backend",
    "gradcheck",
    "gradient_descent_epoch",
    "gradient_descent_threshold",
    "load",
    "minimize",
    "save",
    "use_backend",
]
