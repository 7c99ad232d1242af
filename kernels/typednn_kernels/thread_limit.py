"""How many threads may work at a time."""

from __future__ import annotations

import os
from ctypes import c_int64

MAX_THREADS = 64
"""More threads than this never share one call."""


def available_cores() -> int:
    """So many cores this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, MAX_THREADS)


THREADS: c_int64 = c_int64(available_cores())
"""So many threads work at a time for one caller, itself included; machine code reads it here."""
