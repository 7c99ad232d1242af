"""How much memory there is, and temporary files for what takes too much of it."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from typednn import SettingError
from typednn.formats import temporary
from typednn.formats.temporary import KEPT_FRACTION, TemporaryCopy, available_memory, kept


def test_memory_is_the_least_of_what_is_allowed(tmp_path: Path) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="ascii")

    assert available_memory(tmp_path) is None
    write("proc/meminfo", "MemTotal:  9000 kB\nMemAvailable:  5000 kB\nHugePages_Total: 0\n")
    write("proc/self/status", "Name:\tpython\nVmSize:\t 100 kB\nThreads:\t1\n")
    assert available_memory(tmp_path) == 5000 * 1024
    write("sys/fs/cgroup/memory.max", "max\n")
    write("sys/fs/cgroup/memory.current", "1000\n")
    assert available_memory(tmp_path) == 5000 * 1024
    write("sys/fs/cgroup/memory.max", "3000\n")
    assert available_memory(tmp_path) == 2000
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2500\n")
    write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1500\n")
    assert available_memory(tmp_path) == 1000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary, "available_memory", lambda: 10 * KEPT_FRACTION)
    return tmp_path


def test_few_bytes_are_kept_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept(iter([b"01234", b"56789"])) == b"0123456789"
    monkeypatch.setattr(temporary, "available_memory", lambda: None)
    assert kept(iter([b"0" * 1000, b"1"])) == b"0" * 1000 + b"1"
    assert list(folder.iterdir()) == []


def test_many_bytes_lie_in_a_file_that_no_one_else_sees(folder: Path) -> None:
    found = kept(iter([b"01234", b"567890", b"", b"123"]))

    assert isinstance(found, TemporaryCopy)
    assert found.size() == 14
    assert list(folder.iterdir()) == [], "a file with a name would be left by kill -9"
    with found.open() as file, found.open() as other:
        assert file.read(7) == b"0123456"
        assert other.read() == b"01234567890123"
        assert file.read(3) == b"789"
        assert [file.seek(-2, 1), file.read(2), file.tell()] == [8, b"89", 10]
        assert [file.seek(-3, 2), file.read(), file.read()] == [11, b"123", b""]
        assert [file.seek(4), file.read(1)] == [4, b"4"]
    with found.open() as file:
        assert file.read() == b"01234567890123"


def test_a_copy_for_which_there_is_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def parts() -> Iterator[bytes]:
        yield b"a" * 11
        raise OSError(errno.EIO, "cannot be read")

    with pytest.raises(OSError, match="cannot be read"):
        kept(parts())
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "absent"))
    with pytest.raises(
        SettingError, match=r"room for a temporary file in .*absent, found: No such file .* TMPDIR"
    ):
        kept(iter([b"a" * 11]))
    assert list(folder.iterdir()) == []
