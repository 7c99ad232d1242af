"""A stand-in of the C library's function that moves a thread to a set of cores."""

from __future__ import annotations

import sys
from ctypes import CFUNCTYPE, c_int, c_size_t, string_at
from typing import Any


def mover(moves: list[set[int]]) -> Any:
    """A function `(thread, size, mask)` for machine code, which adds each set of cores to the moves."""

    def move(_thread: int, size: int, mask: int) -> int:
        bits = int.from_bytes(string_at(mask, size), sys.byteorder)
        moves.append({core for core in range(8 * size) if bits >> core & 1})
        return 0

    return CFUNCTYPE(c_int, *[c_size_t] * 3)(move)
