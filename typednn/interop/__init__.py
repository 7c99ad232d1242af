"""Weights from and to PyTorch, Keras and scikit-learn, exactly or not at all; networks as C.

What maps to what, and what is refused, is listed in `docs/interop.md`.
"""

from typednn.interop.c99 import to_c
from typednn.interop.keras import from_keras, to_keras
from typednn.interop.pytorch import from_torch, to_torch
from typednn.interop.scikit_learn import from_sklearn, to_sklearn
from typednn.interop.state_dicts import to_state_dict

__all__ = [
    "from_keras",
    "from_sklearn",
    "from_torch",
    "to_c",
    "to_keras",
    "to_sklearn",
    "to_state_dict",
    "to_torch",
]
