"""The command `python -m benchmarks`, which writes the report, and its subcommand `tune`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from time import perf_counter

from benchmarks import machine
from benchmarks.report import report
from benchmarks.report.api_section import api_section
from benchmarks.report.calls_section import calls_section
from benchmarks.report.cold_start_section import cold_start_section
from benchmarks.report.kernels_section import kernels_section
from benchmarks.report.parallel_section import parallel_section
from benchmarks.report.processes_section import processes_section
from benchmarks.report.report import Section, table
from benchmarks.report.sklearn_section import sklearn_section
from benchmarks.report.training_sections import batches_section, online_section
from benchmarks.settings import Settings
from benchmarks.tuning.command import tune

SECTIONS = {
    "calls": calls_section,
    "online": online_section,
    "api": api_section,
    "cold": cold_start_section,
    "kernels": kernels_section,
    "batches": batches_section,
    "parallel": parallel_section,
    "processes": processes_section,
    "sklearn": sklearn_section,
}


def main() -> None:
    """Measures the sections of the report and writes it."""
    if sys.argv[1:2] == ["tune"]:
        tune(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="few sizes, float32 alone: less than 2 minutes")
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, separated by commas")
    parser.add_argument("--output", type=Path, default=Path("reports"), help="the folder for the report")
    given = parser.parse_args()
    names = given.only.split(",")
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {unknown[0]!r}; there are {', '.join(SECTIONS)}")
    given.output.mkdir(parents=True, exist_ok=True)
    settings = Settings(given.quick, given.output)
    limits = machine.limits(settings.budget(2))
    first = Section(
        "The machine", [table(("", ""), machine.description()), table(("limit", ""), limits.rows())]
    )
    sections = [first]
    for name in names:
        began = perf_counter()
        print(f"{name} …", end=" ", flush=True, file=sys.stderr)
        sections.append(SECTIONS[name](settings, limits))
        print(f"{perf_counter() - began:.0f} s", file=sys.stderr)
        path = report.write(given.output, sections)
        print(f"{path} is up to date", file=sys.stderr)
    if any(section.failures for section in sections):
        sys.exit("candidates do not compute the same: see the report")


if __name__ == "__main__":
    main()
