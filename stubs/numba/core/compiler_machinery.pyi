from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from numba.core.compiler import StateDict

class CompilerPass(metaclass=ABCMeta):
    _name: str
    @classmethod
    def name(cls) -> str: ...
    @abstractmethod
    def run_pass(self, state: StateDict) -> bool: ...

_P = TypeVar("_P", bound=CompilerPass)

class PassManager:
    _ENFORCING: bool
    passes: list[tuple[type[CompilerPass], str]]
    def finalize(self) -> None: ...

def register_pass(mutates_CFG: bool, analysis_only: bool) -> Callable[[type[_P]], type[_P]]: ...
