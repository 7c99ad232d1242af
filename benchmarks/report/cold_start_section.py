"""Section on the first calls of a process: imports, first `fit` and `predict`, and `typednn warmup`."""

from __future__ import annotations

from benchmarks import cold_start
from benchmarks.machine import Limits
from benchmarks.report import targets
from benchmarks.report.report import Section, table
from benchmarks.report.targets import number
from benchmarks.settings import Settings


def cold_start_section(settings: Settings, _limits: Limits) -> Section:
    """Times imports and first calls in new processes, with an empty cache of machine code and a warm one."""
    section = Section("The cold start")
    section.text.append(imports_table(section, settings))
    section.text.append(first_calls_table(section, settings))
    try:
        taken = cold_start.warm_up()
    except RuntimeError as error:
        section.text.append(f"`typednn warmup` was not measured: {error}.")
    else:
        result = section.record_target("everything compiled", taken, targets.WARM_UP, most=True)
        section.text.append(f"`typednn warmup` with an empty cache takes {result} s.")
    return section


def imports_table(section: Section, settings: Settings) -> str:
    """Times imports and the first step after them; returns a table."""
    imports = cold_start.imports(11)
    ratio, step = imports.ratio("typednn", "numpy"), cold_start.first_step(3 if settings.quick else 11)
    rows = [
        ("`import typednn`, s", number(imports.median("typednn"))),
        (
            "`import typednn` / `import numpy`",
            section.record_target("import", ratio, targets.IMPORT, most=True),
        ),
        (
            "first training step after import, warm cache, s",
            section.record_target("first step", step, targets.FIRST_STEP, most=True),
        ),
    ]
    return table(("import", ""), rows)


def first_calls_table(section: Section, settings: Settings) -> str:
    """Times the first call of a process; returns a table."""
    rows: list[tuple[str, str, str]] = []
    for name, program in cold_start.FIRST_CALLS.items():
        empty, warm = cold_start.first_call(program, 3 if settings.quick else 5)
        most = targets.FIRST_PREDICT if "predict" in name else targets.FIRST_FIT
        rows.append(
            (
                name,
                section.record_target(f"{name}, empty cache", empty, most, most=True),
                section.record_target(f"{name}, warm cache", warm, targets.FIRST_WARM, most=True),
            )
        )
    return table(("first call of a process, s", "empty cache", "warm cache"), rows)
