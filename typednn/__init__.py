"""typednn: backpropagation that one can read, run and trust.

The layer API is `InputLayer`, `HiddenLayer` and `OutputLayer` in a plain list, with `gradient_descent_epoch`.
The Network API is `Network` with `forward` and `fit`. Both run the same kernels on the same memory.
"""

from typing import TYPE_CHECKING

# CPython 3.11 imports NumPy faster from here than from deep within other imports.
import numpy as np  # noqa: F401  # pyright: ignore[reportUnusedImport]

from typednn.activations import CELU, ELU, HardSigmoid, HardTanh, LeakyReLU, ParametricActivation, Softplus
from typednn.backends import backend, use_backend
from typednn.errors import (
    ArrayTypeError,
    DataError,
    DivergenceError,
    FileFormatError,
    FormulaError,
    MissingExtraError,
    NotReadyError,
    ProcessError,
    SettingError,
    ShapeError,
    TypednnError,
    UnknownNameError,
    WiringError,
)
from typednn.initializers import Seed
from typednn.layers import (
    AnyLayer,
    BatchNorm,
    HiddenLayer,
    InputLayer,
    Layer,
    LayerNorm,
    NormalizationLayer,
    NormalizationWithSettings,
    OutputLayer,
)
from typednn.names import (
    ActivationName,
    BackendName,
    BiasInitializerName,
    CustomActivation,
    CustomLoss,
    LossName,
    MetricName,
    MinimizerName,
    NormalizationName,
    OptimizerName,
    OutputActivationName,
    WeightInitializerName,
)
from typednn.network.derivatives import jacobian, sample_gradients
from typednn.network.forward_pass import ForwardPass, Gradients, InputGradients, LayerGradients
from typednn.network.network import AnyNetwork, Network
from typednn.network.predictor import Predictor
from typednn.parallel import in_parallel, threads, use_threads
from typednn.training.callbacks import Callback, EarlyStopping, GradientNorms, Run
from typednn.training.classic import gradient_descent_epoch, gradient_descent_threshold
from typednn.training.history import History
from typednn.training.metrics import CurveName, Evaluation
from typednn.training.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Nadam, Optimizer, RMSprop, Rprop
from typednn.training.schedules import (
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
from typednn.training.steps import Steps

if TYPE_CHECKING:
    from typednn import interop as interop
    from typednn import onnx as onnx
    from typednn.custom import register_activation, register_activation_family, register_loss
    from typednn.data.model import Model
    from typednn.files.checkpoints import Checkpoint
    from typednn.files.models import load, save
    from typednn.gradient_checking import GradientReport, gradcheck
    from typednn.minimizers import Minimum, minimize
else:
    _LAZY = {
        "Checkpoint": "files.checkpoints",
        "GradientReport": "gradient_checking",
        "gradcheck": "gradient_checking",
        "Minimum": "minimizers",
        "Model": "data.model",
        "minimize": "minimizers",
        "load": "files.models",
        "save": "files.models",
        "register_activation": "custom",
        "register_activation_family": "custom",
        "register_loss": "custom",
    }
    """Rarely used names and their modules, which are imported when one of the two is accessed."""

    def __getattr__(name: str) -> object:
        import sys
        from importlib import import_module

        if name in _LAZY.values() or name in {"interop", "onnx"}:
            return import_module(f"typednn.{name}")
        if name in _LAZY:
            value = globals()[name] = getattr(import_module(f"typednn.{_LAZY[name]}"), name)
            return value
        message = f"module 'typednn' has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules["typednn"])

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LAZY})


__all__ = [
    "CELU",
    "ELU",
    "SGD",
    "ActivationName",
    "Adagrad",
    "Adam",
    "AdamW",
    "AnyLayer",
    "AnyNetwork",
    "ArrayTypeError",
    "BackendName",
    "BatchNorm",
    "BiasInitializerName",
    "Callback",
    "Checkpoint",
    "CosineDecay",
    "CosineDecayRestarts",
    "CurveName",
    "CustomActivation",
    "CustomLoss",
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
    "HardSigmoid",
    "HardTanh",
    "HiddenLayer",
    "History",
    "InputGradients",
    "InputLayer",
    "InverseTimeDecay",
    "Layer",
    "LayerGradients",
    "LayerNorm",
    "LeakyReLU",
    "Lion",
    "LossName",
    "MetricName",
    "MinimizerName",
    "Minimum",
    "MissingExtraError",
    "Model",
    "Nadam",
    "Network",
    "NormalizationLayer",
    "NormalizationName",
    "NormalizationWithSettings",
    "NotReadyError",
    "OneCycle",
    "Optimizer",
    "OptimizerName",
    "OutputActivationName",
    "OutputLayer",
    "ParametricActivation",
    "PiecewiseConstantDecay",
    "Predictor",
    "ProcessError",
    "RMSprop",
    "ReduceOnPlateau",
    "Rprop",
    "Run",
    "Schedule",
    "Seed",
    "SettingError",
    "ShapeError",
    "Softplus",
    "StepDecay",
    "Steps",
    "TypednnError",
    "UnknownNameError",
    "WeightInitializerName",
    "WiringError",
    "backend",
    "gradcheck",
    "gradient_descent_epoch",
    "gradient_descent_threshold",
    "in_parallel",
    "jacobian",
    "load",
    "minimize",
    "register_activation",
    "register_activation_family",
    "register_loss",
    "sample_gradients",
    "save",
    "threads",
    "use_backend",
    "use_threads",
]
