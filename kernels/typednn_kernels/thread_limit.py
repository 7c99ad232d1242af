"""The number of threads that may work at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ctypes import c_int64
from math import ceil

MAX_THREADS = 64
"""Maximum number of threads in a call."""


def available_cores() -> int:
    """Counts the cores that this process may use, up to `MAX_THREADS`: by its affinity and its cgroups."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, MAX_THREADS, *(max(1, ceil(quota)) for quota in cgroup_quotas("/")))


def cgroup_quotas(root: str) -> Iterator[float]:
    """Yields the number of cores whose time each cgroup of this process may use, as containers limit it.

    The files are `cpu.max` of version 2 of cgroups, `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1.
    They are read while the library is imported.

    Args:
        root: the folder that contains `proc` and `sys`.
    """
    try:
        lines = _text(f"{root}/proc/self/cgroup").splitlines()
    except OSError:
        return
    for _, controllers, name in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        mount = f"{root}/sys/fs/cgroup"
        if "cpu" in controllers.split(","):
            mount += "/cpu"
        elif controllers:
            continue
        names = [each for each in name.split("/") if each]
        for depth in range(len(names), -1, -1):
            yield from _quota("/".join([mount, *names[:depth]]))


def _quota(folder: str) -> Iterator[float]:
    try:
        try:
            quota, period = map(int, _text(f"{folder}/cpu.max").split())  # "max" is no limit
        except FileNotFoundError:
            quota = int(_text(f"{folder}/cpu.cfs_quota_us"))
            period = int(_text(f"{folder}/cpu.cfs_period_us"))
    except (OSError, ValueError):
        return
    if quota > 0 and period > 0:
        yield quota / period


def _text(path: str) -> str:
    with open(path) as file:  # noqa: PTH123 (pathlib takes long to import)
        return file.read()


THREADS: c_int64 = c_int64(available_cores())
"""The number of threads of one caller, itself included; machine code reads it at this address."""
