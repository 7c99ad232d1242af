"""Weights from and to PyTorch, Keras and scikit-learn, exactly or not at all; networks as C.

What maps to what, and what is refused, is listed in `docs/interop.md`.
"""

from typednn.interop.pytorch import from_torch, to_state_dict, to_torch

__all__ = ["from_torch", "to_state_dict", "to_torch"]
