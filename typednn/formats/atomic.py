"""Files that are written completely or not at all."""

from __future__ import annotations

import contextlib
import os
from typing import TypeAlias

PathLike: TypeAlias = str | os.PathLike[str]


def write_file(path: PathLike, content: bytes) -> None:
    """Writes a file beside `path` and renames it to `path` when it is complete.

    Raises:
        OSError: the file cannot be written; a file that was there is unchanged.
    """
    from pathlib import (
        Path,  # takes longer to import than all else that `import typednn` needs of this module
    )

    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        raise OSError(f"{os.fspath(path)}: is not a file, and would have to be replaced")
    draft = target.with_name(f".{target.name[:64]}.{os.urandom(4).hex()}.tmp")
    try:
        with draft.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            draft.chmod(target.stat().st_mode)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
