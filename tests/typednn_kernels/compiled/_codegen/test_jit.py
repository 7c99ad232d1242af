"""Machine code on disk is never stale, never wrong and never in the way; float32 stays float32."""

from __future__ import annotations

import gc
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typednn_kernels.arrays import F, Vector

numba = pytest.importorskip("numba", reason="numba does not work here", exc_type=ImportError)
if numba.config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)
cache = import_module("typednn_kernels.compiled._codegen.cache.files")
digest = import_module("typednn_kernels.compiled._codegen.cache.digest")
jit = import_module("typednn_kernels.compiled._codegen.jit")
routines = import_module("typednn_kernels.compiled._codegen.noinline")

SOURCES: Path = digest.SOURCES
PROGRAM = """
import numpy as np
from typednn_kernels.compiled.ops.activation import activation_value
for dtype in (np.float32, np.float64):
    a = np.array([[-1, 0, 2]], dtype)
    y = np.empty_like(a)
    activation_value(2, a, y)
    assert (y == [[0, 0, 2]]).all() and y.dtype == dtype
print(sum(activation_value.stats.cache_hits.values()))
"""

OF_A_DTYPE = (
    "activate_range",
    "activate_rows",
    "activate_short",
    "activation_value",
    "row_max_and_sum_exp_range",
    "softmax_from_sum_exp_range",
)
KEPT = sorted([*OF_A_DTYPE * 2, "first_calls"])
"""The functions whose machine code the program leaves on disk."""


def command(sources: Path = SOURCES) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(sources.parent)!r})\n{PROGRAM}"]


def environment(folder: Path | None, **variables: str) -> dict[str, str]:
    known = {
        name: value for name, value in os.environ.items() if name not in {"TYPEDNN_CACHE_DIR", "PYTHONPATH"}
    }
    return known | ({} if folder is None else {"TYPEDNN_CACHE_DIR": str(folder)}) | variables


def hits(folder: Path | None, sources: Path = SOURCES, **variables: str) -> int:
    """How many signatures a fresh process finds on disk; it fails where a result is wrong."""
    done = subprocess.run(
        command(sources), env=environment(folder, **variables), capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr
    return int(done.stdout)


def files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*-*") if each.is_file()]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filled")
    assert hits(folder) == 0
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "cache"))


def test_a_second_process_compiles_nothing(folder: Path) -> None:
    assert hits(folder) == 2
    names = sorted(each.name.split("-")[0] for each in files(folder))
    assert names == KEPT


@pytest.mark.parametrize(
    "size",
    [pytest.param(size, marks=pytest.mark.full("as a byte that changed")) for size in (0, 10, 40, 5000)],
)
def test_truncated_files_are_written_again(folder: Path, size: int) -> None:
    for each in files(folder):
        each.write_bytes(each.read_bytes()[:size])

    assert hits(folder) == 0
    assert hits(folder) == 2


def test_damaged_files_are_written_again(folder: Path) -> None:
    for each in files(folder):
        content = bytearray(each.read_bytes())
        content[len(content) // 2] ^= 1
        each.write_bytes(content)

    assert hits(folder) == 0
    assert hits(folder) == 2


def test_a_file_for_another_signature_is_never_taken(folder: Path) -> None:
    assert len({each.read_bytes() for each in files(folder)}) == len(KEPT)
    assert len({each.name for each in files(folder)}) == len(KEPT)


@pytest.mark.skipif(
    os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="permissions do not bind this user"
)
def test_a_folder_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    for each in [folder, *folder.rglob("*")]:
        each.chmod(each.stat().st_mode & 0o555)
    assert hits(folder) >= 0

    empty = tmp_path / "empty"
    empty.mkdir(mode=0o555)
    assert hits(empty) == 0


def test_a_folder_that_cannot_exist(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert hits(tmp_path / "file" / "cache") == 0


@pytest.mark.skipif(os.name == "nt", reason="there is no HOME")
@pytest.mark.parametrize(
    "home", [os.devnull, pytest.param("absent", marks=pytest.mark.full("as a home that is no folder"))]
)
def test_no_home(home: str, tmp_path: Path) -> None:
    place = str(tmp_path / home)

    assert hits(None, HOME=place, XDG_CACHE_HOME=place) == 0


def test_a_changed_source_is_compiled_again(folder: Path, tmp_path: Path) -> None:
    sources = Path(shutil.copytree(SOURCES, tmp_path / "kernels" / "typednn_kernels"))
    assert hits(folder, sources) == 2

    with sources.joinpath("activations.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")

    assert hits(folder, sources) == 0


@pytest.mark.full("a digest covers options and sources alike; that of sources is seen in any run")
def test_a_changed_option_compiles_again(folder: Path) -> None:
    assert hits(folder) == 2
    assert hits(folder, NUMBA_BOUNDSCHECK="1") == 0


SHARED = """
import numpy as np
from typednn_kernels.compiled._codegen.cache import files as cache
from typednn_kernels.compiled.entry_points import kernels_for
names = []
cache.on_compile.append(names.append)
a = np.array([[-1, 0, 2.0]])
y = np.empty_like(a)
kernels_for(a.dtype).activation_value(2, a, y)
assert (y == [[0, 0, 2]]).all()
print(*names)
"""


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.full("as two"))])
def test_of_processes_at_once_one_compiles_and_the_others_wait(count: int, tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [*command()[:2], command()[2].replace(PROGRAM, SHARED)],
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    compiled: list[str] = []
    for process in processes:
        output, error = process.communicate()
        assert not process.returncode, error
        compiled += output.split()

    assert len(compiled) == len(set(compiled)) == len(OF_A_DTYPE)
    assert {each.name for each in tmp_path.rglob("*") if each.is_file()} == {
        "lock",
        *(each.name for each in files(tmp_path)),
    }


def test_workers_of_joblib_find_what_is_compiled(folder: Path) -> None:
    """joblib sets the number of numba's threads in its workers, which changes no machine code."""
    assert hits(folder, NUMBA_NUM_THREADS="1", NUMBA_CACHE_DIR=str(folder)) == 2


ENTRIES = (
    "train_online",
    "train_batches",
    "forward",
    "backward",
    "loss_value",
    "output_delta",
    "activation_backward",
    "try_copy_sample",
    "layer_forward",
    "hidden_layer_backward",
    "output_layer_backward",
)


@pytest.fixture(scope="module")
def code_of_float32() -> Any:
    """The LLVM code of entries and of all routines, compiled in a process that keeps nothing."""
    program = (
        "import numpy as np\n"
        "from typednn_kernels import compiled\n"
        "from typednn_kernels.compiled.entry_points import prepare\n"
        "from typednn_kernels.compiled._codegen.noinline import NOINLINE_FUNCTIONS\n"
        "prepare(np.dtype('float32'))\n"
        f"for name in {ENTRIES}:\n"
        "    print('ENTRY', name)\n"
        "    [print(code) for code in getattr(compiled, name).inspect_llvm().values()]\n"
        "for routine in set(NOINLINE_FUNCTIONS.values()):\n"
        "    print('ENTRY', routine.dispatcher.__name__)\n"
        "    [print(code) for code in routine.dispatcher.inspect_llvm().values()]\n"
    )
    path = f"import sys; sys.path.insert(0, {str(SOURCES.parent)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", path + program],
        env=environment(Path(os.devnull)),
        capture_output=True,
        text=True,
        check=True,
    )
    _, *parts = done.stdout.split("ENTRY ")
    return dict(part.split("\n", 1) for part in parts)


@pytest.mark.full("compiles every entry, and keeps none")
def test_float32_stays_float32(code_of_float32: dict[str, str]) -> None:
    assert set(ENTRIES) < set(code_of_float32)
    for name in (
        "train_online",
        "forward_thread",
        "online_train_thread",
        "batch_train_thread",
        "gemm_range",
        "activate_range",
        "loss_range",
        "apply_update",
    ):
        assert re.search(r"\bfloat\b", code_of_float32[name]), name
    for name, code in code_of_float32.items():
        doubles = {line.strip() for line in code.splitlines() if re.search(r"\bdouble\b", line)}
        if name in {"normalized_block", "normalize", "normalize_rows"}:  # epsilon and momentum are doubles
            doubles = {line for line in doubles if "x double>" in line}
        # Learning rates and limits come from Python as doubles; that is no arithmetic.
        assert all("PyFloat_AsDouble" in line or "fptrunc double" in line for line in doubles), (
            name,
            doubles,
        )


@pytest.mark.parametrize("enabled", [True, False])
def test_python_looks_for_no_garbage_meanwhile(enabled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def double(x: Vector[F]) -> None:
        x[0] *= 2

    def note(_name: str) -> None:
        seen.append(gc.isenabled())

    seen: list[bool] = []
    monkeypatch.setattr(cache, "on_compile", [note])
    monkeypatch.setattr(jit, "CACHE", None)
    (gc.enable if enabled else gc.disable)()
    try:
        run = routines.compiled_for(jit.exported(double), np.dtype(np.float32))
        assert gc.isenabled() == enabled
    finally:
        gc.enable()

    x = np.ones(1, np.float32)
    run(x)
    assert (seen, x[0]) == ([False], 2)
