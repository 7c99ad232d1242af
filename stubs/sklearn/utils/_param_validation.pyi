from typing import Literal

class Interval:
    def __init__(
        self,
        type: type[object],  # noqa: A002
        left: float | None,
        right: float | None,
        *,
        closed: Literal["left", "right", "both", "neither"],
    ) -> None: ...

class Options:
    def __init__(self, type: type[object], options: set[object]) -> None: ...  # noqa: A002

class StrOptions:
    def __init__(self, options: set[str]) -> None: ...
