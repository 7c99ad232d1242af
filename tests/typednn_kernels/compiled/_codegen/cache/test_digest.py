"""What machine code depends on is in the digest, and nothing else."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
digest = import_module("typednn_kernels.compiled._codegen.cache.digest")

PROGRAM = (
    "from typednn_kernels.compiled._codegen.cache.digest import source_digest as digest; print(digest())"
)


def test_same_sources_same_digest() -> None:
    assert digest.source_digest() == digest.source_digest()


@pytest.mark.parametrize(
    "option", ["NUMBA_NUM_THREADS", "CACHE_DIR", "DEVELOPER_MODE", "DUMP_IR", "CUDA_DRIVER"]
)
def test_options_that_change_no_machine_code(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest.source_digest()
    monkeypatch.setattr(numba.config, option, "changed")

    assert digest.source_digest() == before


@pytest.mark.parametrize(
    "option", ["BOUNDSCHECK", "OPT", "ENABLE_AVX", "DEBUG_NRT", "AN_OPTION_OF_LATER_RELEASES"]
)
def test_all_other_options_count(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest.source_digest()
    monkeypatch.setattr(numba.config, option, "changed", raising=False)

    assert digest.source_digest() != before


def test_each_module_counts() -> None:
    modules = dict(digest._modules(digest.SOURCES))
    sources = {each.relative_to(digest.SOURCES).with_suffix("") for each in digest.SOURCES.rglob("*.py")}
    names = {each.parent if each.name == "__init__" else each for each in sources}

    assert {Path(name) for name in modules} == names - {Path()}
    assert "def source_digest" in modules["compiled/_codegen/cache/digest"]


def printed(folder: Path) -> str:
    """The digest in a process that imports the package from a folder or an archive."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{PROGRAM}"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("kind", ["bytecode", pytest.param("archive", marks=pytest.mark.full("as bytecode"))])
def test_without_sources_the_code_counts(kind: str, tmp_path: Path) -> None:
    """The same twice, another one once a formula has changed; Python draws the order of sets each time."""
    sources = tmp_path / "sources"
    shutil.copytree(digest.SOURCES, sources / "typednn_kernels", ignore=shutil.ignore_patterns("__pycache__"))
    digests: list[str] = []
    for change in ("", "LIMIT = 3 in {1, 2, 'three'}\n"):
        with sources.joinpath("typednn_kernels", "activations.py").open("a", encoding="utf-8") as file:
            file.write(change)
        assert compileall.compile_dir(sources, quiet=2, legacy=True, force=True)
        place = tmp_path / f"without{len(digests)}"
        shutil.copytree(sources, place, ignore=shutil.ignore_patterns("*.py"))
        if kind == "archive":
            place = Path(shutil.make_archive(str(place), "zip", place))
        digests += [printed(place), printed(place)]

    one, again, other, once_more = digests
    assert len(one) == 16
    assert one == again
    assert other == once_more
    assert one != other


def test_where_no_code_can_be_read_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "SOURCES", tmp_path)
    monkeypatch.setenv("TYPEDNN_CACHE_DIR", str(tmp_path))

    assert digest.source_digest() is None
    assert import_module("typednn_kernels.compiled._codegen.cache.folder").cache_folder() is None
