"""Are the types of the installed wheel complete? `python -m tests.typing.completeness`, part of `make check`.

pyright reads what a user gets: a wheel, installed into a folder of its own, with the checkout out of the way.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("typednn", "typednn_kernels")


def main() -> int:
    """Prints the score of each package and what spoils it; 0 where all types are known."""
    with TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, str(ROOT)],
            check=True,
        )
        incomplete = [package for package in PACKAGES if not complete(package, Path(folder))]
    return len(incomplete)


def complete(package: str, folder: Path) -> bool:
    """Whether all types of a package in a folder are known and unambiguous."""
    run = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", package, "--ignoreexternal", "--outputjson"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    report: Any = json.loads(run.stdout)["typeCompleteness"]
    found, counts = report["symbols"], report["exportedSymbolCounts"]
    print(f"{package}: {report['completenessScore']:.1%} of {sum(counts.values())} public types are complete")
    for symbol in found:
        if symbol["isExported"] and not symbol["isTypeKnown"]:
            print(f"  {symbol['name']}: {'; '.join(each['message'] for each in symbol['diagnostics'])}")
    inside = Path(report["packageRootDirectory"]).is_relative_to(folder)
    return inside and counts["withKnownType"] > 0 and report["completenessScore"] == 1


if __name__ == "__main__":
    sys.exit(main())
