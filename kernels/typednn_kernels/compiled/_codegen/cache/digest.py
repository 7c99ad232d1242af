"""A digest of what machine code depends on, beside the CPU: sources, thresholds, versions and options."""

from __future__ import annotations

import hashlib
import pkgutil
import platform
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import cast

import llvmlite
import numba
import numpy as np

from typednn_kernels.compiled._codegen import tuning
from typednn_kernels.compiler_versions import package_version

SOURCES = Path(__file__).resolve().parents[3]

HARMLESS = frozenset(
    {
        *("ANNOTATE", "CHROME_TRACE", "COLOR_SCHEME", "DEVELOPER_MODE", "DIFF_IR", "FULL_TRACEBACKS"),
        *("FUNCTION_CACHE_SIZE", "GDB_BINARY", "HIGHLIGHT_DUMPS", "HTML", "LLVM_PASS_TIMINGS", "SHOW_HELP"),
        *("PARALLEL_DIAGNOSTICS", "RUNNING_UNDER_PROFILER", "TRACE"),
    }
)
HARMLESS_PREFIXES = (
    "CACHE_",
    "CUDA_",
    "DISABLE_PERFORMANCE",
    "DISABLE_TYPEINFER",
    "DUMP_",
    "NUMBA_",
    "THREADING_",
)
"""Options of numba that change what it prints, where it looks and how many threads it has, but no machine
code. joblib sets `NUMBA_NUM_THREADS` in its workers. An option that is not known here counts."""


def source_digest() -> str | None:
    """Returns the digest, in 16 hexadecimal digits; None where the code of this package cannot be read."""
    modules = dict(_modules(SOURCES))
    if not modules:
        return None
    thresholds = sorted((name, value) for name, value in vars(tuning).items() if name.isupper())
    versions = numba.__version__, llvmlite.__version__, np.__version__, platform.python_version()
    described = sorted(modules.items()), thresholds, versions, package_version("typednn"), options()
    return hashlib.sha256(repr(described).encode()).hexdigest()[:16]


def options() -> dict[str, str]:
    """Returns numba's options that may change machine code, whether set by variables, a file or a program."""
    return {
        name: str(value)
        for name, value in sorted(vars(numba.config).items())
        if name[0].isupper()
        and name.isupper()
        and name not in HARMLESS
        and not name.startswith(HARMLESS_PREFIXES)
    }


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    """Yields the path and the source of each module; where there are no sources, what its code object says.

    There are none where only bytecode is installed; in a zip archive they may be there.
    """
    for finder, name, is_package in pkgutil.iter_modules([str(folder)]):
        if is_package:
            yield from _modules(folder / name)
        spec = finder.find_spec(name, None)
        loader = None if spec is None else spec.loader
        source, code = (getattr(loader, each, None) for each in ("get_source", "get_code"))
        text = source(name) if source is not None else None
        if text is None and code is not None and isinstance(compiled := code(name), CodeType):
            text = repr(_described(compiled))
        if text is not None:
            yield (folder / name).relative_to(SOURCES).as_posix(), text


def _described(constant: object) -> object:
    """Describes a constant of a code object; marshal and sets differ from process to process."""
    if isinstance(constant, frozenset):
        return sorted(map(repr, cast("frozenset[object]", constant)))
    if not isinstance(constant, CodeType):
        return repr(constant)
    names = (
        constant.co_name,
        constant.co_names,
        constant.co_varnames,
        constant.co_freevars,
        constant.co_cellvars,
    )
    counts = constant.co_argcount, constant.co_posonlyargcount, constant.co_kwonlyargcount, constant.co_flags
    return names, counts, constant.co_code, [_described(each) for each in constant.co_consts]
