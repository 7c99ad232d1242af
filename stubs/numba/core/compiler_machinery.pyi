from collections.abc import Callable
from typing import TypeVar

from numba.core.compiler import StateDict

P = TypeVar("P", bound=type[FunctionPass])

class FunctionPass:
    def run_pass(self, state: StateDict) -> bool: ...

class PassManager:
    def add_pass_after(self, added: type[FunctionPass], location: type[FunctionPass]) -> None: ...
    def finalize(self) -> None: ...

def register_pass(*, mutates_CFG: bool, analysis_only: bool) -> Callable[[P], P]: ...
