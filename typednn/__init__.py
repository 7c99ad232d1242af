"""typednn: backpropagation that one can read, run and trust.

The classic door: `InputLayer`, `HiddenLayer`, `OutputLayer` in a plain list, `gradient_descent_epoch`.
The typed door: `Network`, `Network.forward`, `Network.fit`. Both run the same kernels on the same memory.
"""

from typednn.backends import backend, use_backend
from typednn.callbacks import Callback, EarlyStopping, GradientNorms, Run
from typednn.checkpoints import Checkpoint
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
from typednn.gradient_descent import gradient_descent_epoch, gradient_descent_threshold
from typednn.histories import History
from typednn.layers import HiddenLayer, InputLayer, OutputLayer
from typednn.minimizers import Minimum, minimize
from typednn.model_files import load, save
from typednn.networks import Evaluation, Network
from typednn.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, RMSprop, Rprop
from typednn.parallel import in_parallel, threads, use_threads
from typednn.passes import ForwardPass, Gradients, LayerGradients
from typednn.predictors import Predictor
from typednn.registration import register_activation, register_loss
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

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArrayTypeError",
    "Callback",
    "Checkpoint",
    "CosineDecay",
    "CosineDecayRestarts",
    "DataError",
    "DivergenceError",
    "EarlyStopping",
    "Evaluation",
    "ExponentialDecay",
    "FileFormatError",
    "FormulaError",
    "ForwardPass",
    "GradientNorms",
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
    "Run",
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
    "in_parallel",
    "load",
    "minimize",
    "register_activation",
    "register_loss",
    "save",
    "threads",
    "use_backend",
    "use_threads",
]
