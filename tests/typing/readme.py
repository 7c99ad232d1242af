"""The README's section on types, with what mypy says: `python -m tests.typing.readme` writes it anew."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import TextWrapper

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
HEADING = "## Mistakes found before the program runs\n"
SECTION = re.compile(rf"{HEADING}.*?(?=^## )", flags=re.DOTALL | re.MULTILINE)

LINES = TextWrapper(108, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)

PROGRAM = """\
import numpy as np
from typednn import HiddenLayer, InputLayer, Network, OutputLayer

hidden = HiddenLayer(8, "rleu")
network = Network([InputLayer(2), hidden, OutputLayer(1)], dtype=np.float32)
network.predict(np.zeros((6, 2)))
network.forward(np.zeros((6, 2), np.float32)).dLdW
"""

TEXT = """
The types know the names, the rank and dtype of every array, which targets a loss takes, and what exists
when. Of this program

```python
{program}```

`mypy --strict` says

```text
{said}```

pyright says the same. Names that are text, from a configuration file say, pass through `typednn.names`:
`HiddenLayer(8, names.hidden_activation(text))`.

"""


def section() -> str:
    """The section as it must be."""
    return HEADING + TEXT.format(program=PROGRAM, said=said_of(PROGRAM))


def said_of(program: str) -> str:
    """The errors that mypy finds in a program."""
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
    errors = re.findall(r"program\.py:(\d+): error: (.*)\n", run.stdout)
    return "".join(f"{LINES.fill(f'line {line}: {message}')}\n" for line, message in errors)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    README.write_text(SECTION.sub(lambda _: section(), text), encoding="utf-8")
