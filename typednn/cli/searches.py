"""The command `typednn tune`."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from typednn.cli.options import Options
from typednn.cli.output import say, say_json
from typednn.cli.settings import settings_of, toml_of
from typednn.cli.tables import check_folder
from typednn.data.reading import read_data
from typednn.formats.atomic import write_file
from typednn.parallel import use_threads
from typednn.plotting.progress import progress
from typednn.tables import aligned


def tune(options: Options) -> int:
    """Searches for settings at random and writes the best as TOML."""
    from typednn.cli.tuning import TUNING_FOLDS
    from typednn.cli.tuning import tune as run

    output = options.output or Path("model.toml")
    check_folder(output, "--output")
    settings = settings_of(options, options.config)
    if settings.threads:
        use_threads(settings.threads)
    labels = None if settings.labels is None else Path(settings.labels)
    data = read_data(options.data, target=settings.target, labels=labels, dialect=settings.dialect)
    if options.json:
        trials = run(data, settings, options.trials)
    else:
        with progress("trial", options.trials) as advance:
            trials = run(data, settings, options.trials, lambda trial: advance(f"score {trial.score:.4g}"))
    best = trials[0]
    write_file(output, toml_of(best.settings).encode())
    if options.json:
        found = [{"score": trial.score, **trial.changes()} for trial in trials]
        say_json({"config": str(output), "folds": TUNING_FOLDS, "trials": found})
        return 0
    rows = [("score", *best.changes())]
    rows += [(f"{trial.score:.4g}", *map(_shown, trial.changes().values())) for trial in trials[:10]]
    say("", *aligned(rows))
    say(f"\nThe score is the accuracy or R² of {TUNING_FOLDS} folds; the first trial had the settings given.")
    say(f"The best settings are in {output}; typednn train {options.data} --config {output} uses them")
    return 0


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, cast("tuple[object, ...]", value))) or "none"
    return "default" if value is None else str(value)
