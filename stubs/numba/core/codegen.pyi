from abc import ABCMeta, abstractmethod

class CodeLibrary(metaclass=ABCMeta):
    @abstractmethod
    def add_linking_library(self, library: CodeLibrary) -> None: ...

class CPUCodegen:
    def magic_tuple(self) -> tuple[str, ...]: ...
