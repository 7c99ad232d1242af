"""Which kernels run: switching in a process, and processes of all kinds."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import typednn
from tests.conftest import PATHS, compiling_only, kernels_of
from typednn import UnknownNameError, backend, backends, use_backend
from typednn.backends import implementations, kernels

FLOAT64 = np.dtype(np.float64)
OTHER: Any = {"numpy": "numba", "numba": "numpy"}
two_paths = pytest.mark.skipif("numba" not in PATHS, reason="one path only")


def is_of(path: str) -> bool:
    """Whether the kernels of a path are active."""
    return (kernels(FLOAT64) is kernels_of("numpy")) == (path == "numpy")


def test_the_fixture_switches(path: str) -> None:
    assert backend() == path
    assert is_of(path)
    assert implementations(FLOAT64)[backend()] is kernels(FLOAT64)


@two_paths
def test_a_with_block_switches_and_switches_back(path: str) -> None:
    with use_backend(OTHER[path]) as nothing:
        assert nothing is None
        assert backend() == OTHER[path]
        with use_backend(path):  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            assert backend() == path
        assert is_of(OTHER[path])
    assert backend() == path


@two_paths
def test_a_with_block_switches_back_after_an_error(path: str) -> None:
    with pytest.raises(ZeroDivisionError), use_backend(OTHER[path]):
        raise ZeroDivisionError(backend())
    assert backend() == path


@two_paths
def test_a_call_switches_for_good(path: str) -> None:
    use_backend(OTHER[path])
    assert backend() == OTHER[path]
    use_backend(path)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert backend() == path


@pytest.mark.parametrize(
    ("name", "hint"), [("nump", "'numpy'"), ("Numba", "'numba'"), ("torch", None), (None, None)]
)
def test_unknown_names_are_refused_and_change_nothing(name: Any, hint: str | None, path: str) -> None:
    with pytest.raises(UnknownNameError, match="valid names are numba, numpy") as caught:
        use_backend(name)
    assert hint is None or f"did you mean {hint}?" in str(caught.value)
    assert backend() == path


# In a process of its own.

WITHOUT_NUMBA = "import sys; sys.modules['numba'] = None\n"
STEP = """
import numpy as np
from typednn import *
layers = [InputLayer(2), HiddenLayer(3, "tanh"), OutputLayer(1)]
network = Network(layers, seed=0)
x, y = np.eye(2), np.ones((2, 1))
network.fit(x, y, epochs=2, batch_size=1)
network.forward(x).backward(y)
assert gradcheck(network, x, y).passed
print(backend(), network.fit(x, y, epochs=50, batch_size=2, learning_rate=0.1).loss[-1] < 0.1)
"""


def run(program: str, chosen: str | None = None, *options: str) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new process, with TYPEDNN_BACKEND as chosen."""
    environment = {name: value for name, value in os.environ.items() if name != "TYPEDNN_BACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    if chosen is not None:
        environment["TYPEDNN_BACKEND"] = chosen
    return subprocess.run(
        [sys.executable, *options, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def output(program: str, chosen: str | None = None, *options: str) -> str:
    """What a program prints, which has to succeed without a word on stderr."""
    finished = run(program, chosen, "-W", "error", *options)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout.strip()


def test_the_variable_sets_the_backend() -> None:
    for chosen in PATHS:
        kernels_of(chosen)
        assert output("import typednn; print(typednn.backend())", chosen) == chosen


@two_paths
@pytest.mark.parametrize("chosen", [None, ""])
def test_numba_is_used_where_nothing_is_chosen(chosen: str | None) -> None:
    kernels_of("numba")
    assert output("import typednn; print(typednn.backend())", chosen) == "numba"


def test_an_unknown_backend_in_the_variable_is_an_error() -> None:
    finished = run("import typednn; typednn.backend()", "nunpy")

    assert finished.returncode == 1
    assert (
        finished.stderr.strip()
        .splitlines()[-1]
        .endswith(
            "UnknownNameError: unknown backend 'nunpy': did you mean 'numpy'? valid names are numba, numpy"
        )
    )


def test_import_loads_neither_numba_nor_scipy() -> None:
    program = """
import sys, typednn
heavy = {"numba", "llvmlite", "scipy", "matplotlib", "sklearn", "rich", "torch", "pandas"}
print(sorted(heavy & set(sys.modules)))
"""
    assert output(program) == "[]"


def test_on_numpy_numba_is_never_loaded() -> None:
    program = (
        STEP.replace("assert gradcheck(network, x, y).passed", "")
        + "\nimport sys; print('numba' in sys.modules)"
    )

    assert output(program, "numpy").split() == ["numpy", "True", "False"]


@pytest.mark.parametrize("chosen", [None, "numba"])
def test_without_numba_the_library_warns_once_and_works(chosen: str | None) -> None:
    finished = run(WITHOUT_NUMBA + STEP, chosen, "-W", "always")

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == ["numpy", "True"]
    assert finished.stderr.count("typednn runs on NumPy alone, because numba does not work") == 1


def test_without_numba_a_choice_of_numpy_warns_of_nothing() -> None:
    assert output(WITHOUT_NUMBA + STEP, "numpy").split() == ["numpy", "True"]


def test_without_numba_asking_for_it_is_an_error_and_changes_nothing() -> None:
    program = (
        WITHOUT_NUMBA
        + """
from typednn import backend, use_backend
try:
    use_backend("numba")
except ImportError as error:
    print(backend(), "numba" in str(error))
"""
    )
    assert output(program, "numpy").split() == ["numpy", "True"]


SAME_WAY = pytest.mark.full("caught in the same place")


@pytest.mark.parametrize(
    "error",
    [
        "ImportError('Numba needs NumPy 2.3 or less')",
        "AttributeError('no such name')",
        pytest.param("TypeError('one argument too many')", marks=SAME_WAY),
        pytest.param("RuntimeError('no LLVM')", marks=SAME_WAY),
        pytest.param("OSError('no shared library')", marks=SAME_WAY),
        pytest.param("SystemError('a slot')", marks=SAME_WAY),
    ],
)
def test_a_numba_whose_import_fails_counts_as_none(error: str, tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text(f"raise {error}\n")
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"

    finished = run(start + STEP, None, "-W", "always")

    assert finished.stdout.split() == ["numpy", "True"], finished.stderr
    message = error.split("'")[1]
    assert finished.stderr.count(f"because numba does not work: {message} (numba ") == 1
    assert finished.stderr.count("Warning") == 1


FAILING = """
import sys
from numba.core import dispatcher, errors
count, known = [], dispatcher.Dispatcher.compile
def compile(self, sig):
    count.append(sig)
    if len(count) > {after}:
        raise {error}
    return known(self, sig)
dispatcher.Dispatcher.compile = compile
"""
LAYERS = """
layers[0].put_values(x)
layers[-1].set_actual(y)
for layer in layers: layer.forward()
for layer in layers[:0:-1]: layer.backward()
for entry in "train_batches", "forward", "backward":
    getattr(typednn.backends.kernels(np.dtype(float)), entry)
network.predict(x), network.evaluate(x, y)
"""


@compiling_only
@pytest.mark.parametrize(
    ("after", "error"),
    [
        (0, "errors.TypingError('a type')"),
        pytest.param(0, "errors.LoweringError('no code')", marks=SAME_WAY),
        pytest.param(0, "AttributeError('renamed')", marks=SAME_WAY),
        (2, "TypeError('changed')"),
        pytest.param(2, "OSError('no space')", marks=SAME_WAY),
    ],
)
def test_a_numba_that_cannot_compile_counts_as_none(after: int, error: str, tmp_path: Path) -> None:
    """Also in the middle: after some functions have been compiled, NumPy goes on with the same arrays."""
    program = FAILING.format(after=after, error=error) + "import typednn\n" + STEP + LAYERS
    program += """
try:
    use_backend("numba")
except ImportError as error:
    print(backend(), str(error).count("llvmlite"), len(typednn.backends.implementations(np.dtype(float))))
"""
    program = f"import os; os.environ['TYPEDNN_CACHE_DIR'] = {str(tmp_path)!r}\n" + program

    finished = run(program, None, "-W", "always")

    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split() == ["numpy", "True", "numpy", "1", "1"]
    assert finished.stderr.count("typednn runs on NumPy alone, because numba does not work: ") == 1
    assert finished.stderr.count("Warning") == 1


def test_an_interrupted_compilation_is_no_failure_of_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels_of("numba")
    entry_points = import_module("typednn_kernels.compiled.entry_points")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entry_points, "compiled_for", interrupted)
    with use_backend("numba"):
        with pytest.raises(KeyboardInterrupt):
            _ = entry_points.EntryPoints(FLOAT64).affine
        assert backend() == "numba"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=lambda dtype: dtype.__name__)
def test_warm_up_compiles_what_runs(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever both doors call was compiled ahead: nothing is looked up in the cache, let alone compiled."""
    kernels_of("numba")
    import_module("typednn_kernels.compiled.entry_points").prepare(np.dtype(dtype))
    asked: list[str] = []
    cache = import_module("typednn_kernels.compiled._codegen.cache.files")

    def load(self: Any, sig: object, _context: object) -> None:
        asked.append(f"{self.name}{sig}")

    monkeypatch.setattr(cache.MachineCode, "load_overload", load)
    x, y = np.zeros((5, 2), dtype), np.zeros((5, 1), dtype)
    with use_backend("numba"):
        layers: Any = [typednn.InputLayer(2, "tanh"), typednn.HiddenLayer(3, "relu"), typednn.OutputLayer(1)]
        network = typednn.Network(layers, dtype=dtype, seed=0)
        for batch_size in (1, 2):
            network.fit(x, y, epochs=1, batch_size=batch_size)
        network.forward(x).backward(y)
        network.predictor()(x[0])
        network.evaluate(x, y)
        typednn.gradcheck(network, x, y)
        layers = network.layers
        layers[0].put_values(x)
        layers[-1].set_actual(y)
        for layer in layers:
            layer.forward()
        for layer in layers[:0:-1]:
            layer.backward()
        results = layers[-1].loss(), layers[-1].dyda, layers[1].dLdBias, layers[1].dhda

    assert len(results) == 4
    assert asked == []


INTERRUPTED_IMPORT = """
import os, signal, sys, time
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "numba.core.types.iterators":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
sys.meta_path.insert(0, Interrupting())
from typednn import backend
try:
    backend()
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows interrupts no import")
@compiling_only
def test_ctrl_c_while_numba_is_imported_is_one_and_the_next_fit_works() -> None:
    kernels_of("numba")
    assert output(INTERRUPTED_IMPORT + STEP).split() == ["interrupted", "numba", "True"]


INTERRUPTED_COMPILER = """
import os
from importlib import import_module
os.environ["TYPEDNN_CACHE_DIR"] = {cache!r}
import numpy as np
import typednn
assert typednn.backend() == "numba"
points = [
    ("numba.core.byteflow", "Flow", "run"),
    ("numba.core.typeinfer", "TypeInferer", "propagate"),
    ("numba.core.lowering", "Lower", "lower_inst"),
    ("llvmlite.binding.newpassmanagers", "NewPassManager", "run"),
    ("numba.core.codegen", "JITCodeLibrary", "_finalize_specific"),
    ("numba.core.compiler", "CompileResult", "_reduce"),
]
for module, owner, name in points:
    kind = getattr(import_module(module), owner)
    known = getattr(kind, name)
    def interrupted(*_, **__):
        raise KeyboardInterrupt
    setattr(kind, name, interrupted)
    try:
        typednn.backends.kernels(np.dtype(float)).sum_samples
    except KeyboardInterrupt:
        print(name)
    setattr(kind, name, known)
x, total = np.arange(6.0).reshape(3, 2), np.zeros(2)
typednn.backends.kernels(x.dtype).sum_samples(x, total)
print(*total, typednn.backend())
"""


@compiling_only
def test_ctrl_c_while_numba_compiles_is_one_and_the_next_call_works(tmp_path: Path) -> None:
    kernels_of("numba")
    *points, result = output(INTERRUPTED_COMPILER.format(cache=str(tmp_path))).splitlines()

    assert len(points) == 6
    assert result == "6.0 9.0 numba"


class Screen:
    """A stderr that may be a terminal or that of a notebook."""

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.text = ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


class NotebookScreen(Screen):
    __module__ = "ipykernel.iostream"


@pytest.mark.parametrize("screen", [Screen(terminal=True), NotebookScreen(terminal=False)])
def test_who_waits_for_the_compiler_for_a_second_is_told_once(
    screen: Screen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [100.0]
    caplog.set_level("INFO", "typednn")
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(backends, "monotonic", lambda: now[0])
    time = backends._CompileTime()

    for kernel, seconds in ("forward", 0.8), ("backward", 0.0), ("affine", 2.0):
        assert not screen.text
        time.begin("a function")
        now[0] += seconds
        time.begin("another function")
        now[0] += 0.125
        time.end(kernel)
        now[0] += 1000
    time.begin("the last function")
    time.end("outer")
    time.end("read from disk")

    assert screen.text == "typednn compiles for this machine, once; that takes some seconds …\n"
    assert [record.getMessage() for record in caplog.records] == [
        "compiled forward in 0.9 s",
        "compiled backward in 0.1 s",
        "compiling for this machine, once; that takes some seconds",
        "compiled affine in 2.1 s",
        "compiled outer in 0.0 s",
    ]


def test_a_file_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=False)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(backends, "SAY_AFTER_S", 0.0)

    backends._CompileTime().begin("a function")

    assert not screen.text


@compiling_only
def test_the_compiler_tells_how_long_it_takes(tmp_path: Path) -> None:
    kernels_of("numba")
    program = f"""if True:
        import logging, os, sys
        os.environ["TYPEDNN_CACHE_DIR"] = {str(tmp_path)!r}
        import numpy as np
        import typednn.backends
        typednn.backends.SAY_AFTER_S = 0.0
        logging.basicConfig(level="INFO", stream=sys.stdout)
        typednn.backends.kernels(np.dtype(float)).sum_samples
        typednn.backends.kernels(np.dtype(float)).sum_samples
    """
    first, second = output(program).splitlines()

    assert first == "INFO:typednn:compiling for this machine, once; that takes some seconds"
    assert second.startswith("INFO:typednn:compiled sum_samples in ")
