"""The number of threads that may work at a time."""

from __future__ import annotations

import os
from ctypes import c_int64

MAX_THREADS = 64
"""Maximum number of threads in a call."""


def available_cores() -> int:
    """Counts the cores that this process may use, up to `MAX_THREADS`."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, MAX_THREADS)


THREADS: c_int64 = c_int64(available_cores())
"""The number of threads of one caller, itself included; machine code reads it at this address."""
