"""A file is written completely or not at all, and nobody could read more of it than of the one before."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from typednn.formats import atomic
from typednn.formats.atomic import write_file

posix = pytest.mark.skipif(os.name != "posix", reason="modes, locks and signals of POSIX")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_the_draft_is_never_more_readable_than_the_file(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model"
    file.write_bytes(b"before")
    file.chmod(mode)
    modes: list[int] = []

    def sync(descriptor: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))

    created: Any = os.open

    def create(path: Any, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_EXCL:
            modes.append(mode)
        descriptor: int = created(path, flags, mode)
        return descriptor

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "open", create)
    write_file(file, b"after")

    assert modes[0] & ~mode == 0
    assert modes[1] == stat.S_IMODE(file.stat().st_mode) == mode
    assert file.read_bytes() == b"after"


@posix
def test_a_new_file_has_the_mode_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    write_file(tmp_path / "new", b"content")

    assert (tmp_path / "new").stat().st_mode == (tmp_path / "other").stat().st_mode


@posix
def test_the_folder_is_synced_after_the_file_was_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []

    def sync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "new").exists()))

    monkeypatch.setattr(os, "fsync", sync)
    write_file(tmp_path / "new", b"content")

    assert synced == [(False, False), (True, True)]


@posix
def test_drafts_of_killed_writers_are_removed_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "model"
    dead, others = tmp_path / ".model.01234567.tmp", [".model.tmp", ".model.0123.tmp", ".other.01234567.tmp"]
    dead.write_bytes(b"half")
    for name in others:
        (tmp_path / name).touch()
    draft, descriptor = atomic._new_draft(file, 0o600)  # that of a writer that lives

    write_file(file, b"content")

    assert not dead.exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([draft.name, *others, "model"])
    os.close(descriptor)
    write_file(file, b"content")
    assert not draft.exists()


@posix
def test_a_draft_that_another_writer_removes_at_once_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = atomic._lock, list[str]()

    def remove_before(descriptor: int) -> bool:
        if not removed:
            (draft,) = tmp_path.iterdir()
            draft.unlink()
            removed.append(draft.name)
        return lock(descriptor)

    monkeypatch.setattr(atomic, "_lock", remove_before)
    write_file(tmp_path / "model", b"content")

    assert removed
    assert [each.name for each in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["m" * 255, "ü" * 127, "😀" * 63])
def test_names_of_any_length(name: str, tmp_path: Path) -> None:
    write_file(tmp_path / name, b"content")

    assert [each.name for each in tmp_path.iterdir()] == [name]


@posix
def test_no_descriptors(tmp_path: Path) -> None:
    import resource

    file = tmp_path / "model"
    write_file(file, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    expected, held = b"before", [os.dup(0)]
    highest = max(int(each.name) for each in Path("/dev/fd").iterdir())  # with gaps, where polars was used
    while held[-1] < highest:
        held.append(os.dup(0))
    for count in range(4):
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))
        try:
            write_file(file, b"after")
        except OSError as error:
            found = error.errno
            expected = b"before"
        else:
            found, expected = errno.EMFILE, b"after"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert found == errno.EMFILE
        assert file.read_bytes() == expected
        assert [each.name for each in tmp_path.iterdir()] == ["model"]
    for each in held:
        os.close(each)
    assert expected == b"after"


WRITER = """
import sys
from pathlib import Path
from typednn.formats.atomic import write_file
path, number = sys.argv[1], 0
print("begins", flush=True)
while True:
    number += 1
    write_file(path, bytes([number % 256]) * 300_000)
"""


@posix
@pytest.mark.parametrize(
    "kills",
    [3, pytest.param(100, marks=pytest.mark.full("a hundred processes"))],
)
def test_kills_at_random_moments(kills: int, tmp_path: Path) -> None:
    """A reader always finds one complete file, and the next writer removes what is left."""
    file = tmp_path / "model"
    write_file(file, bytes(300_000))
    for kill in range(kills):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(0.002 * (kill % 17) + 0.0003 * (kill % 7))
            writer.send_signal(signal.SIGKILL)
        content = file.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1

    write_file(file, b"last")

    assert [each.name for each in tmp_path.iterdir()] == ["model"]
