"""Which packages are installed, and in which version."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

DISTRIBUTIONS = ("numpy", "scipy", "numba", "llvmlite", "jax", "torch", "scikit-learn", "onnxruntime")


class AbsentError(Exception):
    """A candidate cannot take part; the message says which package or feature is missing."""


def package(name: str) -> Any:
    """Imports a module and returns it as `Any`, so that no types of optional packages are needed.

    Raises:
        AbsentError: the module cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        if error.name is not None and error.name.startswith("benchmarks"):
            raise
        raise AbsentError(f"{error.name or name} is not installed") from error


def versions() -> dict[str, str]:
    """Returns the version of each package in `DISTRIBUTIONS`, or "absent"."""
    found: dict[str, str] = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
