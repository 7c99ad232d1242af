"""The commands that work on tables: train, predict, evaluate, show."""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import SpooledTemporaryFile

import numpy as np
from numpy.typing import NDArray

from typednn.cli.measures import measure
from typednn.cli.options import Options
from typednn.cli.output import (
    compared,
    described_columns,
    described_target,
    detailed,
    headline,
    say,
    say_json,
    shown,
)
from typednn.cli.settings import settings_of, toml_of
from typednn.data.columns import numbers_in, written_in
from typednn.data.large_tables import number_places
from typednn.data.model import Model
from typednn.data.readers.dialects import Dialect
from typednn.data.reading import Data, every_place, read_data, read_tables
from typednn.data.table import Table
from typednn.data.targets import Classes
from typednn.errors import DataError, SettingError
from typednn.files.models import load, save
from typednn.formats.atomic import write_file
from typednn.formats.json_values import is_list, is_object
from typednn.formats.temporary import room
from typednn.network.network import AnyNetwork
from typednn.parallel import use_threads
from typednn.plotting.progress import progress
from typednn.tables import aligned

SPOOLED_BYTES = 2**24
"""The size of predictions for the standard output that are kept in memory, not in a temporary file."""


def train(options: Options) -> int:
    """Trains a network with a data file and saves the model."""
    from typednn.cli.train import train as run
    from typednn.cli.tuning import cross_validate

    output = options.output or Path("model.safetensors")
    check_folder(output, "--output")
    settings = settings_of(options, options.config)
    if settings.threads:
        use_threads(settings.threads)
    labels = None if settings.labels is None else Path(settings.labels)
    data = read_data(options.data, target=settings.target, labels=labels, dialect=settings.dialect)
    if options.json:
        training = run(data, settings)
    else:
        say(_size_of(data, len(data.table)), *data.table.notes)
        with progress("epoch", settings.epochs) as advance:
            training = run(
                data,
                settings,
                lambda history: advance(
                    f"loss {history.loss[-1]:.4g}"
                    + (f", stopping {history.validation_loss[-1]:.4g}" if history.validation_loss else "")
                ),
            )
    model = training.model
    model.training = {
        **model.training,
        "settings": {key: each for key, each in asdict(settings).items() if each is not None},
        "measures": headline(training.measures),
        "baseline": headline(training.baseline),
        "notes": list(training.notes),
    }
    folds = None
    if options.cv:
        folds = cross_validate(training.prepared, settings, options.cv)
    save(model, output)
    config = output.with_suffix(".toml")
    if not (
        options.config and _is_same(options.config, config) and settings == settings_of(Options(), config)
    ):
        write_file(config, toml_of(settings).encode())
    if options.report is not None:
        from typednn.cli.report import training_report

        write_file(options.report, training_report(training, str(options.data)).encode())
    if options.json:
        say_json(
            {
                "model": str(output),
                "config": str(config),
                "task": training.prepared.task,
                "training_samples": len(training.training),
                "epochs": model.training["epochs"],
                "features": [each.name for each in model.preprocessing.features],
                "notes": list(training.notes),
                "held_out": training.measures.as_json(),
                "baseline": headline(training.baseline),
                **({} if folds is None else {"folds": folds}),
            }
        )
        return 0
    say(
        f"ended after {len(model.history.loss)} epochs; the best was {model.training['epochs']}\n",
        *[note for note in training.notes if note not in data.table.notes],
        *described_columns(model.preprocessing.features),
        f"\n{model.network.summary()}\n",
        f"{described_target(model)}\n",
        *compared(training.measures, training.baseline, f"of {len(training.held_out):,} held-out samples"),
    )
    if folds is not None:
        for name in folds[0]:
            values = [fold[name] for fold in folds]
            say(f"{name} of {options.cv} folds: {np.mean(values):.4g} ± {np.std(values):.2g}")
    say(f"\nThe model is in {output}, its settings in {config}; typednn predict {output} DATA uses it")
    if options.report is not None:
        say(f"The report is in {options.report}")
    return 0


def predict(options: Options) -> int:
    """Predicts with a saved model and writes the predictions as CSV, or as JSON lines."""
    model = load(options.model)
    count = 0

    def texts() -> Iterator[bytes]:
        nonlocal count
        for table in _samples(model, options.data, settings_of(options, None).dialect, options.keep):
            names, *rows = predictions(model, table, proba=options.proba, keep=options.keep)
            if options.json:
                yield "".join(_json_line(dict(zip(names, row, strict=True))) for row in rows).encode()
            else:
                yield _csv([names] * (count == 0) + rows).encode()
            count += len(rows)

    if options.output is None:
        with SpooledTemporaryFile(SPOOLED_BYTES) as spool:  # nothing is printed where a later row is wrong
            for part in texts():
                with room():
                    spool.write(part)
            with room():
                spool.seek(0)
            for text in codecs.iterdecode(iter(lambda: spool.read(SPOOLED_BYTES), b""), "utf-8"):
                sys.stdout.write(text)
    else:
        write_file(options.output, texts())
        print(f"{count:,} predictions are in {options.output}", file=sys.stderr)
    return 0


def evaluate(options: Options) -> int:
    """Measures a saved model with samples whose targets are known."""
    model = load(options.model)
    if not isinstance(model, Model):
        raise SettingError(
            f"{options.model}: expected a model that typednn train has saved, found a network alone"
        )
    settings = settings_of(options, None)
    names = model.preprocessing.target_names
    target = settings.target or (",".join(names) if model.preprocessing.named else None)
    labels = None if settings.labels is None else Path(settings.labels)
    data = read_data(
        options.data,
        target=None if _has_own_targets(names, model) else target,
        labels=labels,
        dialect=settings.dialect,
    )
    tables = (
        data.table.chunks() if data.whole is None else data.whole.tables(model.preprocessing, data.targets)
    )
    measures = measure(model, tables, data.targets)
    if options.report is not None:
        from typednn.cli.report import evaluation_report

        write_file(options.report, evaluation_report(model, data, measures, str(options.data)).encode())
    if options.json:
        say_json(measures.as_json())
        return 0
    say(f"{_size_of(data, measures.samples)}\n", *detailed(measures))
    if options.report is not None:
        say(f"The report is in {options.report}")
    return 0


def show(options: Options) -> int:
    """Shows what a model file holds."""
    model = load(options.model)
    if options.json:
        say_json(_as_json(model))
        return 0
    if not isinstance(model, Model):
        say(model.summary(), "without preprocessing: it takes and returns arrays of numbers")
        return 0
    say(f"{described_target(model)}\n", *described_columns(model.preprocessing.features), "", model.summary())
    record = model.training
    settings, measures, baseline, notes = (
        record.get(key) for key in ("settings", "measures", "baseline", "notes")
    )
    if is_object(settings):
        say("", f"trained with {record.get('samples')} samples for {record.get('epochs')} epochs:")
        say(*(f"  {key} = {value}" for key, value in settings.items()))
    if is_object(measures) and is_object(baseline):
        say("", "held out: the network, and without features")
        say(
            *aligned(
                [
                    (f"  {key}", *(shown(key, each) if isinstance(each, float) else "" for each in pair))
                    for key, *pair in ((key, value, baseline.get(key)) for key, value in measures.items())
                ]
            )
        )
    if is_list(notes) and notes:
        say("", *map(str, notes))
    return 0


def predictions(
    model: AnyNetwork, table: Table, *, proba: bool = False, keep: Sequence[str] = ()
) -> Iterator[list[str]]:
    """Yields the rows of a table of predictions: the header, then one row for each sample.

    A predicted class has its probability beside it, or with `proba` those of all classes. The columns `keep`
    come first.

    Raises:
        ShapeError, DataError, UnknownNameError: the table does not fit.
    """
    kept = [(table.names[table.index(name)], written_in(table[name])) for name in keep]
    heads = [name for name, _ in kept]
    names: Sequence[str] = ()
    if isinstance(model, Model):
        outputs = model.predict(table)
        preprocessing = model.preprocessing
        targets = (
            preprocessing.target_names
            if preprocessing.named and preprocessing.target_names
            else ("prediction",)
        )
        classes = preprocessing.target if isinstance(preprocessing.target, Classes) else None
        names = classes.names if classes else ()
    else:
        outputs = _raw_outputs(model, table)
        targets, is_classes = ("prediction",), "softmax" in model.layers[-1].actname
        names = [str(k) for k in range(outputs.shape[1])] if is_classes else ()
    if names and model.layers[-1].actname == "log_softmax":
        outputs = np.exp(outputs)
    if names:
        yield (
            heads
            + [targets[0], *(f"probability of {name}" for name in names if proba)]
            + ["probability"] * (not proba)
        )
        best = outputs.argmax(axis=1)
        rows: list[list[str]] = [
            [names[k], *(f"{p:.4f}" for p in (row if proba else row[k : k + 1]))]
            for row, k in zip(outputs, best.tolist(), strict=True)
        ]
    else:
        count = outputs.shape[1]
        yield heads + (
            list(targets) if len(targets) == count else [f"{targets[0]} {k}" for k in range(1, count + 1)]
        )
        rows = [[f"{number:.7g}" for number in row] for row in outputs.tolist()]
    for k, row in enumerate(rows):
        yield [column[k] or "" for _, column in kept] + row


def _raw_outputs(network: AnyNetwork, table: Table) -> NDArray[np.float64]:
    """Returns the outputs of a network without preprocessing, for the columns of a table as they stand."""
    width, count = network.layers[0].length, len(table.names)
    if count not in {width, width + 1}:
        raise DataError(
            f"{table.source}: expected {width} columns of features, and perhaps the target, found {count}"
        )
    columns = [
        numbers_in(column, name, table.place)
        for name, column in zip(table.names[:width], table.columns[:width], strict=True)
    ]
    x = np.stack(columns, axis=1).astype(network.dtype)
    return network.predict(x).astype(np.float64)


def _samples(model: AnyNetwork, path: Path, dialect: Dialect, keep: Sequence[str]) -> Iterator[Table]:
    """Reads the samples for a model in parts; words, and columns that are kept, stay as they are written."""
    preprocessing = model.preprocessing if isinstance(model, Model) else None

    def kept(head: Table) -> set[int]:
        return {head.index(name) for name in keep}

    def numbers(head: Table) -> Collection[int]:
        found = every_place(head) if preprocessing is None else number_places(preprocessing, head)
        return {*found} - kept(head)

    def used(head: Table) -> Collection[int]:
        found = every_place(head) if preprocessing is None else preprocessing.places(head)
        return {*found} | kept(head)

    return read_tables(path, dialect=dialect, numbers=numbers, used=used)


def _csv(rows: Sequence[Sequence[str]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def _has_own_targets(names: Sequence[str], model: Model) -> bool:
    """Tells whether the targets were an array of their own, as in .npz and IDX files."""
    return not model.preprocessing.named and all(name.startswith("y") for name in names)


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def check_folder(path: Path, option: str) -> None:
    """Raises SettingError if the folder of a file does not exist."""
    if not path.resolve().parent.is_dir():
        raise SettingError(f"argument {option}: there is no folder {path.parent}")


def _size_of(data: Data, samples: int) -> str:
    return f"{data.table.source}: {samples:,} samples of {len(data.features):,} features"


def _json_line(row: dict[str, str]) -> str:
    import json

    values: dict[str, object] = {}
    for key, text in row.items():
        is_number = key.startswith("probability")
        values[key] = float(text) if is_number else text
    return json.dumps(values, ensure_ascii=False) + "\n"


def _as_json(model: AnyNetwork) -> dict[str, object]:
    from typednn.files.model_json import layer_json
    from typednn.files.preprocessing_json import preprocessing_json

    return {
        "dtype": str(model.dtype),
        "parameters": int(model.parameters.size),
        "layers": [layer_json(layer) for layer in model.layers],
        "preprocessing": preprocessing_json(model.preprocessing) if isinstance(model, Model) else None,
        "training": dict(model.training) if isinstance(model, Model) else None,
    }
