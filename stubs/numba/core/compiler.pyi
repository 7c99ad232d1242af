from typing import Any

class CompileResult:
    _rebuild: Any
