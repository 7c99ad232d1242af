from typing import Any

L1: Any
L2: Any
L1L2: Any
