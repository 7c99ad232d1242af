"""What the documentation says of type errors, taken from mypy.

`python -m tests.typing.documents` writes the messages into `docs/types.md` again.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import TextWrapper

ROOT = Path(__file__).parent.parent.parent
README, TYPES = ROOT / "README.md", ROOT / "docs" / "types.md"
EXAMPLE = re.compile(
    r"```python\n(?P<program>.*?)```\n\n`mypy --strict` reports\n\n```text\n.*?```", re.DOTALL
)
LINES = TextWrapper(108, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)

ROW = re.compile(r"^\| `(?P<statement>.*?)` \| .* \| `(?P<code>[a-z-]+)` \|$", re.MULTILINE)
README_PROGRAM = """\
import numpy as np
from typednn import HiddenLayer, InputLayer, Network, OutputLayer

x, labels = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
layers = [InputLayer(2), HiddenLayer(8, "tanh"), OutputLayer(2, "softmax", "crossentropy")]
network = Network(layers, dtype=np.float32, seed=0)
history = network.fit(x, labels)
"""


def with_messages(text: str) -> str:
    """Returns the text of `docs/types.md` with what mypy reports of its example today."""

    def example(found: re.Match[str]) -> str:
        program = found["program"]
        messages = "".join(
            f"{LINES.fill(f'line {line}: {message}')}\n" for line, message in errors_of(program)
        )
        return f"```python\n{program}```\n\n`mypy --strict` reports\n\n```text\n{messages}```"

    return EXAMPLE.sub(example, text)


def readme_rows() -> list[tuple[str, str]]:
    """Returns the statements in the README's table of type errors, each with the code beside it."""
    return [(found["statement"], found["code"]) for found in ROW.finditer(README.read_text(encoding="utf-8"))]


def errors_of(program: str) -> list[tuple[int, str]]:
    """Returns the lines in which mypy finds errors, and its messages."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "program.py")
        file.write_text(program, encoding="utf-8")
        run = subprocess.run(
            [sys.executable, "-m", "mypy", "--no-error-summary", "--no-warn-unreachable", str(file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.findall(r"program\.py:(\d+): error: (.*)\n", run.stdout)
    return [(int(line), message) for line, message in found]


if __name__ == "__main__":
    TYPES.write_text(with_messages(TYPES.read_text(encoding="utf-8")), encoding="utf-8")
