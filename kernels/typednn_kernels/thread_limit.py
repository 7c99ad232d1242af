"""The number of threads that may work at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ctypes import c_int64
from math import ceil
from pathlib import Path

MAX_THREADS = 64
"""Maximum number of threads in a call."""


def available_cores() -> int:
    """Counts the cores that this process may use, up to `MAX_THREADS`: by its affinity and its cgroups."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(count, MAX_THREADS, *(max(1, ceil(quota)) for quota in cgroup_quotas(Path("/"))))


def cgroup_quotas(root: Path) -> Iterator[float]:
    """Yields the number of cores whose time each cgroup of this process may use, as containers limit it.

    The files are `cpu.max` of version 2 of cgroups, `cpu.cfs_quota_us` and `cpu.cfs_period_us` of version 1.

    Args:
        root: the folder that contains `proc` and `sys`.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, name in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        mount = root / "sys/fs/cgroup" / ("cpu" if "cpu" in controllers.split(",") else "")
        if controllers and mount.name != "cpu":
            continue
        group = mount / name.strip("/")
        for folder in [group, *group.parents]:
            yield from _quota(folder)
            if folder == mount:
                break


def _quota(folder: Path) -> Iterator[float]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = map(int, (folder / "cpu.max").read_text().split())  # "max" is no limit
        else:
            quota = int((folder / "cpu.cfs_quota_us").read_text())
            period = int((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return
    if quota > 0 and period > 0:
        yield quota / period


THREADS: c_int64 = c_int64(available_cores())
"""The number of threads of one caller, itself included; machine code reads it at this address."""
