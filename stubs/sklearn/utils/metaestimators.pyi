from collections.abc import Callable
from typing import Any

def available_if(check: Callable[[Any], bool]) -> Callable[[Any], Any]: ...
