"""Names the installed versions of the compiler and shortens its errors, for warnings about them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def compiler_versions() -> str:
    """Names the installed versions of numba and llvmlite."""
    return f"{package_version('numba')}, {package_version('llvmlite')}"


def package_version(package: str) -> str:
    """Names a package and its installed version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def first_line(error: Exception) -> str:
    """Shortens the message of an error to its first line: numba's errors about types fill pages."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
