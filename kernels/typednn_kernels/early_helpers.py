"""Processes that will help to compile, started before numba is imported: in them, too, that takes a while.

Whether there is machine code on disk is known only when numba is there. Before, dates tell: what was compiled
before this library was installed or changed is of no use. A wrong guess costs the start of a process.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from typednn_kernels.thread_limit import available_cores

MAX_HELPERS = 3
LONGEST_WAIT_S = 10.0
"""Seconds after which a helper that has got nothing to do ends."""
MODULE = "typednn_kernels.compiled._codegen.helpers"

_waiting: list[subprocess.Popen[bytes]] = []


def machine_code_parent() -> Path:
    """Returns the folder of the folders of machine code.

    Raises:
        RuntimeError: there is no home folder.
    """
    return Path(os.environ.get("TYPEDNN_CACHE_DIR") or user_cache_folder()).expanduser()


def user_cache_folder() -> str:
    """Returns the user's cache folder."""
    if sys.platform == "win32":
        return f"{os.environ.get('LOCALAPPDATA', '~')}/typednn/Cache"
    if sys.platform == "darwin":
        return "~/Library/Caches/typednn"
    return f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/typednn"


def helper_count() -> int:
    """Returns how many helpers pay: one for each other core, where this program is Python's interpreter."""
    is_python = not getattr(sys, "frozen", False) and Path(sys.executable or "").name.startswith("python")
    return min(available_cores() - 1, MAX_HELPERS) if is_python else 0


def helper(*job: str, **variables: str) -> subprocess.Popen[bytes]:
    """Starts a process that helps with a job, or waits for one.

    Args:
        job: name of the kernel, dtype, and folder of machine code; without it, `give` says it later.
        variables: of its environment, beside those of this process.
    """
    nothing = subprocess.DEVNULL
    return subprocess.Popen(  # noqa: S603 (no input)
        [sys.executable, "-P", "-m", MODULE, *job],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        stdin=nothing if job else subprocess.PIPE,
        stdout=nothing,
        stderr=nothing,
    )


def start() -> None:
    """Starts helpers where several cores are free and no machine code seems to be on disk."""
    with suppress(OSError, RuntimeError):
        if not _waiting and is_cold(machine_code_parent()):
            _waiting.extend(helper() for _ in range(helper_count()))


def is_cold(parent: Path) -> bool:
    """Says whether no folder of machine code is younger than this library."""
    sources = [each.stat().st_mtime for each in Path(__file__).parent.rglob("*.py")]
    folders = [each.stat().st_mtime for each in os.scandir(parent)] if parent.is_dir() else []
    return max(folders, default=0.0) < max(sources, default=0.0)


def given(*job: str) -> list[subprocess.Popen[bytes]]:
    """Gives a job to the helpers that wait, and returns them."""
    helpers, _waiting[:] = _waiting[:], []
    for each in helpers:
        assert each.stdin is not None
        with suppress(OSError), each.stdin:
            each.stdin.write("\n".join(job).encode())
    return helpers


def are_waiting() -> bool:
    """Says whether helpers wait for a job."""
    return any(each.poll() is None for each in _waiting)


def stop(helpers: list[subprocess.Popen[bytes]] = _waiting) -> None:
    """Ends helpers, by default those that wait."""
    while helpers:
        each = helpers.pop()
        each.terminate()
        if each.stdin is not None:
            with suppress(OSError):
                each.stdin.close()
        each.wait()


def _forget() -> None:
    """Leaves helpers that wait to the parent of a forked child."""
    for each in _waiting:
        each.returncode = 0
    _waiting.clear()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
