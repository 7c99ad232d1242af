"""Only files of the user's own are read, and only by what they are for; folders do not grow for ever."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
cache = import_module("typednn_kernels.compiled._codegen.cache.files")
cache_folder = import_module("typednn_kernels.compiled._codegen.cache.folder")
registry = import_module("numba.core.registry")

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
needs_locks = pytest.mark.skipif(os.name == "nt", reason="an open file is not renamed")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TYPEDNN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(cache_folder, "LOCKS", {})
    monkeypatch.setattr(cache, "on_compile", [])


def file_of(folder: Path, name: str = "function", signature: object = (), **options: Any) -> Any:
    return cache.CacheFile(folder, name, signature, registry.cpu_target.target_context.codegen(), **options)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read() -> None:
    folder = cache_folder.cache_folder()
    file_of(folder).write((1, b"2"))

    assert file_of(folder).read() == (1, b"2")


@posix
def test_nobody_else_can_read_or_write() -> None:
    before = os.umask(0)
    try:
        folder = cache_folder.cache_folder()
        file_of(folder).write((1,))
    finally:
        os.umask(before)

    assert [mode(each) for each in (folder.parent, folder)] == [0o700, 0o700]
    assert {mode(each) for each in folder.iterdir()} == {0o600}


@posix
@pytest.mark.parametrize("open_to", [0o020, 0o002])
@pytest.mark.parametrize("which", ["parent", "folder"])
def test_a_folder_that_others_may_write_to_is_not_used(
    which: str, open_to: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = cache_folder.cache_folder()
    opened = folder if which == "folder" else folder.parent
    opened.chmod(0o700 | open_to)

    assert cache_folder.cache_folder() is None
    (record,) = caplog.records
    assert record.name == "typednn"
    assert f"others may write to {opened}; to keep it there: make it your own" in record.getMessage()

    opened.chmod(0o700)
    assert cache_folder.cache_folder() == folder


@posix
def test_a_file_that_others_may_write_to_is_not_read() -> None:
    file = file_of(cache_folder.cache_folder())
    file.write((1,))
    file.path.chmod(0o620)
    assert file.read() is None

    file.write((2,))
    assert file.read() == (2,)


@posix
def test_what_another_user_owns_is_not_private(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache_folder.cache_folder()
    file = file_of(folder)
    file.write((1,))
    owner = file.path.stat().st_uid
    if owner == 0:
        os.chown(file.path, 12345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        assert cache_folder.cache_folder() is None

    assert file.read() is None


@posix
def test_a_pipe_in_the_place_of_a_file() -> None:
    file = file_of(cache_folder.cache_folder())
    os.mkfifo(file.path, 0o600)

    assert file.read() is None


@pytest.mark.parametrize("other", ["name", "signature", "digest"])
def test_a_file_is_read_only_as_what_it_was_written_for(other: str, tmp_path: Path) -> None:
    folder = cache_folder.cache_folder()
    elsewhere = tmp_path / "0123456789abcdef"
    elsewhere.mkdir()
    one = file_of(folder, "one", (1,))
    two = {
        "name": file_of(folder, "two", (1,)),
        "signature": file_of(folder, "one", (2,)),
        "digest": file_of(elsewhere, "one", (1,)),
    }[other]
    one.write(("first",))
    two.write(("second",))

    one.path.rename(tmp_path / "moved")
    two.path.rename(one.path)
    (tmp_path / "moved").rename(two.path)

    assert one.read() is None
    assert two.read() is None


@pytest.mark.parametrize("change", [-100, -1, 1])
def test_a_damaged_file_is_not_read(change: int) -> None:
    file = file_of(cache_folder.cache_folder())
    file.write((1, 2))
    content = file.path.read_bytes()
    file.path.write_bytes((content + b"\0")[: len(content) + change])

    assert file.read() is None


def test_a_folder_that_cannot_be_written_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a full disk, or one that is mounted to be read only."""
    file = file_of(cache_folder.cache_folder())
    file.write((1,))
    original = os.open

    def without_writing(path: Any, flags: int, *others: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(30, "Read-only file system")
        return original(path, flags, *others)

    monkeypatch.setattr(os, "open", without_writing)
    monkeypatch.setattr(cache_folder, "LOCKS", {})

    folder = cache_folder.cache_folder()
    assert folder == file.path.parent
    assert file_of(folder).read() == (1,)
    with file_of(folder, "another").claimed():
        file_of(folder, "another").write((2,))
    assert file_of(folder, "another").read() is None
    assert {each.name for each in folder.iterdir()} == {"lock", file.path.name}


@posix
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("name", ["open", "fdopen", "replace"])
def test_a_disk_that_is_full_and_an_interrupt_at_each_call(
    name: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is passed over, Ctrl-C is not; no draft stays."""
    folder, known = cache_folder.cache_folder(), getattr(os, name)

    def failing(*arguments: Any, **options: Any) -> Any:
        if name == "fdopen":
            os.close(arguments[0])
        raise error

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(os, name, failing)
        file_of(folder).write((1,))
        assert isinstance(error, OSError)
    assert getattr(os, name) is known
    assert [each.name for each in folder.iterdir()] == ["lock"]

    file_of(folder).write((1,))
    assert file_of(folder).read() == (1,)


def test_of_some_functions_the_last_used_are_kept() -> None:
    folder = cache_folder.cache_folder()
    names = [f"tiny-{i}" for i in range(4)]
    for i, name in enumerate(names[:3]):
        file = file_of(folder, name, kept=3)
        file.write((i,))
        os.utime(file.path, (i + 1, i + 1))
    file_of(folder, "tiny_ones").write(("another function",))
    assert file_of(folder, "tiny-0", kept=3).read() == (0,)

    file_of(folder, "tiny-3", kept=3).write((3,))

    assert [file_of(folder, name, kept=3).read() for name in names] == [(0,), None, (2,), (3,)]
    assert file_of(folder, "tiny_ones").read() == ("another function",)


# Several processes.

IN_ANOTHER_PROCESS = """
import sys, time
from pathlib import Path
from typednn_kernels.compiled._codegen.cache import folder as cache_folder
folder = Path(sys.argv[1])
{block}
"""
CLAIMING = """
with cache_folder.claimed(folder / "function-12"):
    print("claimed", flush=True)
    time.sleep(60)
"""
USING = """
assert cache_folder.Locks(folder / "lock").lock(cache_folder.IN_USE, shared=True)
print("used", flush=True)
time.sleep(60)
"""


def other_process(block: str, folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", IN_ANOTHER_PROCESS.format(block=block), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


@needs_locks
def test_who_compiles_is_waited_for_until_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache_folder.cache_folder()
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            process.kill()
            process.wait()
        assert len(waits) < 10

    with other_process(CLAIMING, folder) as process:
        monkeypatch.setattr(cache_folder.time, "sleep", wait)
        with cache_folder.claimed(folder / "function-13"):
            assert not waits
        with cache_folder.claimed(folder / "function-12"):
            assert 3 <= len(waits) < 10


@needs_locks
def test_who_compiles_is_not_waited_for_once_the_file_is_there_nor_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = cache_folder.cache_folder()
    with other_process(CLAIMING, folder) as process:
        monkeypatch.setattr(cache_folder, "LONGEST_WAIT_S", 0.1)
        with cache_folder.claimed(folder / "function-12"):
            pass
        monkeypatch.setattr(cache_folder, "LONGEST_WAIT_S", 60.0)
        (folder / "function-12").write_bytes(b"")
        with cache_folder.claimed(folder / "function-12"):
            pass
        assert process.poll() is None
        process.kill()


def made(parent: Path, number: int, days: float) -> Path:
    folder = parent / f"{number:016x}"
    folder.mkdir()
    (folder / "function-12").write_bytes(b"code")
    then = time.time() - days * 86400
    os.utime(folder, (then, then))
    return folder


@needs_locks
def test_old_folders_are_removed_unless_they_are_used() -> None:
    used = cache_folder.cache_folder()
    parent = used.parent
    recent = [made(parent, i, days=i) for i in range(1, 9)]
    old = [made(parent, i, days=i) for i in (61, 300)]
    left = parent / f"{1:016x}.{2:032x}"
    left.mkdir()
    others = [parent / "notes", parent / "0123456789abcdef.txt"]
    for each in others:
        each.mkdir()
    with other_process(USING, old[1]) as process:
        os.utime(old[1], (1, 1))
        cache_folder.remove_old_folders(used)
        assert set(parent.iterdir()) == {used, *recent[: cache_folder.KEPT_FOLDERS], old[1], *others}
        process.kill()
        process.wait()
    cache_folder.remove_old_folders(used)
    assert set(parent.iterdir()) == {used, *recent[: cache_folder.KEPT_FOLDERS], *others}


def test_a_new_folder_removes_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = tmp_path / "cache"
    parent.mkdir(mode=0o700)
    old = made(parent, 1, days=365)

    used = cache_folder.cache_folder()

    assert used.is_dir()
    assert not old.exists()
    later = made(parent, 2, days=365)
    assert cache_folder.cache_folder() == used
    assert later.exists()


def test_a_folder_that_is_used_again_is_no_longer_old() -> None:
    used = cache_folder.cache_folder()
    os.utime(used, (1, 1))

    assert cache_folder.cache_folder() == used
    assert time.time() - used.stat().st_mtime < 60


def test_no_home_folder_is_no_folder_called_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TYPEDNN_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "expanduser", no_home)

    assert cache_folder.cache_folder() is None
    assert not Path("~").exists()


@pytest.mark.parametrize(
    ("system", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "/there/typednn"),
        ("linux", "", "~/.cache/typednn"),
        ("darwin", "", "~/Library/Caches/typednn"),
        ("win32", "LOCALAPPDATA", "/there/typednn/Cache"),
    ],
)
def test_the_cache_folder_of_each_platform(
    system: str, variable: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "/there")
    monkeypatch.setattr(sys, "platform", system)

    assert cache_folder.user_cache_folder() == expected
