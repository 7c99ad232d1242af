"""Files that are written completely or not at all.

A file is written under another name beside its target, its draft, and renamed when it is complete and on the
disk. The draft is locked as long as its writer lives: one without a lock was left by a writer that was
killed, and the next writer removes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeAlias

from typednn.validation.settings import check_path

if TYPE_CHECKING:
    from pathlib import Path

PathLike: TypeAlias = str | os.PathLike[str]

MODE_BITS = 0o7777
DRAFT_DIGITS = 8
NAME_BYTES = 64
"""The number of bytes of the name of a file with which the names of its drafts begin."""


def write_file(path: PathLike, content: bytes | Iterable[bytes]) -> None:
    """Writes a file beside `path`, of bytes or parts of them, and renames it to `path` when it is complete.

    The file has the permissions of the one that it replaces; at no time could others read more than that.

    Raises:
        OSError: the file cannot be written; a file that was there is unchanged.
        SettingError: the path is something else.
    """
    from pathlib import (
        Path,  # takes longer to import than all else that `import typednn` needs of this module
    )

    check_path("path", path)
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise OSError(f"{os.fspath(path)}: is not a file, and would have to be replaced")
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = target.stat().st_mode & MODE_BITS
    _remove_drafts(target)
    with _folder(target.parent) as sync:
        draft, descriptor = _new_draft(target, 0o666 if mode is None else mode & 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
                file.flush()
                if mode is not None:
                    draft.chmod(mode)
                os.fsync(file.fileno())
                if os.name == "posix":  # as long as the draft is locked
                    draft.replace(target)
            if os.name != "posix":  # an open file cannot be renamed there
                draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync()


@contextlib.contextmanager
def _folder(path: Path) -> Generator[Callable[[], None]]:
    """Opens a folder, and yields a function that writes its entries to the disk, where there is one."""
    if not hasattr(os, "O_DIRECTORY"):
        yield lambda: None
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:

        def sync() -> None:
            with contextlib.suppress(OSError):  # some file systems cannot; the file is there all the same
                os.fsync(descriptor)

        yield sync
    finally:
        os.close(descriptor)


def _draft_start(target: Path) -> str:
    return f".{target.name.encode(errors='surrogateescape')[:NAME_BYTES].decode(errors='ignore')}."


def _new_draft(target: Path, mode: int) -> tuple[Path, int]:
    """Creates a draft, locks it, and returns its path and a descriptor of it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    while True:
        draft = target.with_name(f"{_draft_start(target)}{os.urandom(DRAFT_DIGITS // 2).hex()}.tmp")
        descriptor = os.open(draft, flags, mode)
        try:
            _lock(descriptor)
            if os.fstat(descriptor).st_nlink:
                return draft, descriptor
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        os.close(descriptor)  # another writer has removed it before it was locked


def _lock(descriptor: int) -> bool:
    """Locks a file, until it is closed; returns whether no other process has. Without locks all are free."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # also of a file system without locks, where no draft is known to be abandoned
        return False
    return True


def _remove_drafts(target: Path) -> None:
    """Removes the drafts of writers that were killed; what cannot be removed stays."""
    start, end = _draft_start(target), ".tmp"
    with contextlib.suppress(OSError):
        for draft in target.parent.iterdir():
            middle = draft.name.removeprefix(start).removesuffix(end)
            if draft.name != f"{start}{middle}{end}" or len(middle) != DRAFT_DIGITS:
                continue
            with contextlib.suppress(OSError):
                if os.name != "posix":  # an open file cannot be removed there
                    draft.unlink()
                    continue
                descriptor = os.open(draft, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    if _lock(descriptor):
                        draft.unlink()
                finally:
                    os.close(descriptor)
