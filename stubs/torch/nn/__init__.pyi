from collections.abc import Iterator, Mapping
from typing import Self

from torch import Tensor, dtype

class Module:
    training: bool
    def parameters(self) -> Iterator[Tensor]: ...
    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object: ...
    def requires_grad_(self, requires_grad: bool = ...) -> Self: ...
    def eval(self) -> Self: ...

class Sequential(Module):
    def __init__(self, *modules: Module) -> None: ...
    def __iter__(self) -> Iterator[Module]: ...

class Linear(Module):
    def __init__(
        self, in_features: int, out_features: int, bias: bool = ..., *, dtype: dtype | None = ...
    ) -> None: ...

class LayerNorm(Module):
    def __init__(
        self,
        normalized_shape: int,
        eps: float = ...,
        elementwise_affine: bool = ...,
        bias: bool = ...,
        *,
        dtype: dtype | None = ...,
    ) -> None: ...

class BatchNorm1d(Module):
    def __init__(
        self,
        num_features: int,
        eps: float = ...,
        momentum: float | None = ...,
        affine: bool = ...,
        *,
        dtype: dtype | None = ...,
    ) -> None: ...

class Dropout(Module):
    def __init__(self, p: float = ...) -> None: ...
