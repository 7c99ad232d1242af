"""What mypy and pyright say about `tests/typing`: each is run once, for all tests and all their processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PATIENCE = 600


@dataclass(frozen=True)
class Finding:
    """An error that a checker reports; the line counts from 1."""

    file: str
    line: int
    code: str
    message: str


@dataclass(frozen=True)
class Verdict:
    """What a checker says; `anys` counts the expressions of type Any by file, where the checker does."""

    findings: list[Finding]
    anys: dict[str, int]


def mypy(files: list[Path], folder: Path) -> Verdict:
    """By mypy with this project's configuration, which is strict."""
    output = _run("mypy", "--output", "json", "--any-exprs-report", str(folder), *map(str, files))
    found = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    report = (folder / "any-exprs.txt").read_text(encoding="utf-8")
    rows = re.findall(r"^ *([\w.]+) +(\d+) +\d+ +[\d.]+%$", report, flags=re.MULTILINE)
    return Verdict(
        [
            Finding(Path(each["file"]).name, each["line"], each["code"], each["message"])
            for each in found
            if each["severity"] == "error" and Path(ROOT, each["file"]).is_relative_to(HERE)
        ],
        {f"{name.split('.')[-1]}.py": int(anys) for name, anys in rows if name.startswith("tests.typing.")},
    )


def pyright(files: list[Path], _folder: Path) -> Verdict:
    """By pyright with this project's configuration, which is strict."""
    here = "--pythonpath", sys.executable, "--pythonversion", "{}.{}".format(*sys.version_info)
    found: list[Any] = json.loads(_run("pyright", "--outputjson", *here, *map(str, files)))[
        "generalDiagnostics"
    ]
    return Verdict(
        [
            Finding(
                Path(each["file"]).name, each["range"]["start"]["line"] + 1, each["rule"], each["message"]
            )
            for each in found
            if each["rule"] != "reportMissingModuleSource"  # of extras that are not installed
        ],
        {},
    )


CHECKERS: dict[str, Callable[[list[Path], Path], Verdict]] = {"mypy": mypy, "pyright": pyright}


def verdict(checker: str, folder: Path) -> Verdict:
    """What a checker says; the first process that asks runs it, the others wait for its answer."""
    answer = folder / f"{checker}.json"
    try:
        (folder / checker).mkdir()
    except FileExistsError:
        limit = monotonic() + PATIENCE
        while not answer.exists() and monotonic() < limit:
            sleep(0.1)
    else:
        draft = folder / checker / "answer.json"
        said = CHECKERS[checker](sorted(HERE.rglob("*.py")), folder / checker)
        draft.write_text(json.dumps(asdict(said)), encoding="utf-8")
        draft.replace(answer)
    said = json.loads(answer.read_text(encoding="utf-8"))
    return Verdict([Finding(**each) for each in said["findings"]], said["anys"])


def _run(module: str, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout, run.stderr
    return run.stdout
