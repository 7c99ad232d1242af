"""`python -m tests.fuzz.guided models [60]`: files that atheris makes, guided by the branches that they take.

The arguments are a target of files and the seconds. atheris, which has to be installed, begins with good
files, and keeps what takes a new branch of the readers and of the modules of Python below. A file that fails
becomes one of `tests/regressions`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

INSTRUMENTED = ["typednn", "json", "zipfile", "gzip", "csv", "numpy.lib._format_impl"]


def main(name: str, seconds: int) -> None:
    """Runs a target; the process ends with the exit status of atheris."""
    os.environ["TYPEDNN_BACKEND"] = "numpy"
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.campaign import REGRESSIONS, limit_memory
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    if target.files is None or target.check_file is None:
        raise SystemExit(f"{name}: is no target of files")
    check, corpus = target.check_file, Path(tempfile.mkdtemp(prefix="corpus"))
    for number, content in enumerate(target.files()):
        (corpus / str(number)).write_bytes(content)
    limit_memory()

    def run(content: bytes) -> None:
        check(content)

    options = [f"-max_total_time={seconds}", f"-artifact_prefix={REGRESSIONS / name}-", "-max_len=8192"]
    atheris.Setup([sys.argv[0], *options, "-rss_limit_mb=0", "-verbosity=1", str(corpus)], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60)
