from llvmlite import ir as llvm

class Lower:
    builder: llvm.IRBuilder
    def alloca_lltype(self, name: str, lltype: llvm.Type, datamodel: object = None) -> llvm.Value: ...
