"""The folder of machine code: where it is, who may use it, and which folders of other digests are removed.

Each digest has its own folder, in which a file is locked, byte by byte: the first byte by each process that
uses the folder, so that nobody removes it, and the others by processes that compile, one for each function,
so that the others wait. The system frees the locks of a process that ends, however it ends.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zlib import crc32

from typednn_kernels.compiled._codegen.cache.digest import source_digest

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = "lock"
IN_USE = 0
"""The byte that processes lock that use a folder."""
PLACES = 1 << 30
LONGEST_WAIT_S = 120.0
"""Seconds after which a process compiles what another one, which may be stopped, has begun to compile."""
POLL_S = 0.005

KEPT_FOLDERS = 5
KEPT_DAYS = 60
"""Folders of other digests are kept if they are among the last used, and were used within these days."""
DAY_S = 86400


def cache_folder() -> Path | None:
    """Makes the folder for machine code and returns it; None where there is none that may be read.

    `TYPEDNN_CACHE_DIR` sets its parent; by default it is the user's cache folder of the platform. A folder
    that cannot be written is read. When a folder is made, old ones beside it are removed.
    """
    digest = source_digest()
    if digest is None:
        return None
    try:
        parent = Path(os.environ.get("TYPEDNN_CACHE_DIR") or user_cache_folder()).expanduser()
        folder, is_new = parent / digest, False
        if not folder.is_dir():
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            is_new = True
        for each in (parent, folder):
            if not is_private(each.stat()):
                _say_that_it_is_open(each)
                return None
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None
    LOCKS.setdefault(folder, Locks(folder / LOCK_NAME)).lock(IN_USE, shared=True)
    _note_use(folder)
    if is_new:
        remove_old_folders(folder)
    return folder


def user_cache_folder() -> str:
    """Returns the user's cache folder."""
    if sys.platform == "win32":
        return f"{os.environ.get('LOCALAPPDATA', '~')}/typednn/Cache"
    if sys.platform == "darwin":
        return "~/Library/Caches/typednn"
    return f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/typednn"


def is_private(status: os.stat_result) -> bool:
    """Says whether a file or folder is the user's, or root's, and nobody else may write to it, as ssh does.

    On Windows the folder of a user's own data is private.
    """
    if sys.platform == "win32":
        return True
    return status.st_uid in {0, os.geteuid()} and not status.st_mode & 0o022


def _say_that_it_is_open(folder: Path) -> None:
    logging.getLogger("typednn").warning(
        "machine code is not kept, because others may write to %s; to keep it there: "
        "make it your own (chown) and let nobody else write to it (chmod go-w)",
        folder,
    )


def _note_use(folder: Path) -> None:
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime > DAY_S:
            os.utime(folder)


class Locks:
    """Locks of single bytes of a file; without effect where it cannot be locked.

    Threads of one process do not exclude each other.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        self._file: int | None = None

    def lock(self, place: int, *, shared: bool = False) -> bool:
        """Locks a byte unless another process has locked it; returns whether nobody else has."""
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # a folder that cannot be written
            return True
        try:
            if sys.platform == "win32":
                if not shared:
                    os.lseek(self._file, place, os.SEEK_SET)
                    msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            else:
                kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                fcntl.lockf(self._file, kind | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # a file system without locks
            return True
        return True

    def unlock(self, place: int) -> None:
        """Unlocks a byte."""
        if self._file is None:
            return
        with suppress(OSError):
            if sys.platform == "win32":
                os.lseek(self._file, place, os.SEEK_SET)
                msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)
            else:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def close(self) -> None:
        """Closes the file, which frees all locks of this process."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


LOCKS: dict[Path, Locks] = {}
"""The locks of the folders that this process uses."""


@contextmanager
def claimed(path: Path, *, wait: bool = True) -> Generator[bool]:
    """Has one process make a file, while others wait until the file is there or the process ends.

    Yields whether it is this process that makes the file. With `wait=False` others need not wait.
    """
    locks = LOCKS.setdefault(path.parent, Locks(path.parent / LOCK_NAME))
    place = 1 + crc32(path.name.encode()) % PLACES
    latest = time.monotonic() + (LONGEST_WAIT_S if wait else 0)
    while not (has_lock := locks.lock(place)) and not path.exists() and time.monotonic() < latest:
        time.sleep(POLL_S)
    try:
        yield has_lock
    finally:
        if has_lock:
            locks.unlock(place)


def remove_old_folders(used: Path) -> None:
    """Removes the folders of other digests that were not used for long, or are too many, but none in use."""
    now = time.time()
    for place, (last_use, folder) in enumerate(sorted(_other_folders(used), reverse=True)):
        if place >= KEPT_FOLDERS or now - last_use > KEPT_DAYS * DAY_S:
            locks = Locks(folder / LOCK_NAME)
            with suppress(OSError):
                if locks.lock(IN_USE):
                    doomed = folder.rename(folder.with_name(f"{folder.name}.{os.urandom(8).hex()}"))
                    shutil.rmtree(doomed, ignore_errors=True)
            locks.close()


def _other_folders(used: Path) -> Iterator[tuple[float, Path]]:
    """Yields the last use and the path of each folder of machine code, and of what is left of one."""
    with suppress(OSError):
        for each in os.scandir(used.parent):
            named = re.fullmatch(r"[0-9a-f]{16}(\.[0-9a-f]{32})?", each.name)
            with suppress(OSError):
                status = each.stat(follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode) and is_private(status)
                if named and is_folder and each.name != used.name:
                    yield status.st_mtime if named[1] is None else 0.0, Path(each.path)
