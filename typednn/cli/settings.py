"""The settings of a training: one row each for the option of the command, its check, and its help.

The same rows read the TOML file of `--config`, which the command also writes beside the model.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar, get_args

from typednn_kernels.activations import ActivationName, CustomActivation
from typednn_kernels.losses import CustomLoss, LossName
from typednn_kernels.normalizations import NormalizationName, NormalizationWithSettings

from typednn import names
from typednn.data.readers.dialects import Dialect
from typednn.data.targets import Task
from typednn.errors import FileFormatError, SettingError, UnknownNameError
from typednn.formats.json_values import is_list
from typednn.names import MetricName, Names, OptimizerName

ScheduleName: TypeAlias = Literal["constant", "cosine", "one_cycle", "plateau"]
ClassWeightName: TypeAlias = Literal["none", "balanced"]

TASKS: Names[Task] = Names("task", lambda: get_args(Task))
SCHEDULES: Names[ScheduleName] = Names("schedule", lambda: get_args(ScheduleName))
CLASS_WEIGHTS: Names[ClassWeightName] = Names("class weight", lambda: get_args(ClassWeightName))

EPOCHS, PATIENCE = 300, 20

N = TypeVar("N", bound=str)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a training; those that are None are chosen by the data.

    Attributes:
        target: the names or numbers of the target columns, between commas; None is the last column.
        features: the columns to learn from; None means all that tell something.
        drop: the columns to leave out.
        labels: the file of the labels of IDX images.
        delimiter, decimal, header, encoding: the dialect of delimited text.
        task: the task.
        hidden: the lengths of the hidden layers.
        activation, normalization, dropout, l2: of the hidden layers; l2 also of the output layer.
        loss: the loss.
        optimizer, learning_rate, schedule: how steps are made.
        class_weight: `balanced` gives every class the same weight.
        metrics: what is measured after each epoch.
        epochs: the largest number of passes over the samples.
        patience: the number of epochs without progress after which the training ends; 0 means never.
        batch_size: samples per step.
        threads: the number of threads.
        seed: the seed of the split, the weights and the order of samples.
        held_out: the fraction of samples that is held out to measure with.
    """

    target: str | None = None
    features: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    labels: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    encoding: str | None = None
    task: Task | None = None
    hidden: tuple[int, ...] | None = None
    activation: ActivationName | CustomActivation = "silu"
    normalization: NormalizationName | NormalizationWithSettings = "none"
    dropout: float = 0.0
    l2: float | None = None
    loss: LossName | CustomLoss | None = None
    optimizer: OptimizerName = "adam"
    learning_rate: float | None = None
    schedule: ScheduleName = "constant"
    class_weight: ClassWeightName = "none"
    metrics: tuple[MetricName, ...] = ()
    epochs: int = EPOCHS
    patience: int = PATIENCE
    batch_size: int | None = None
    threads: int | None = None
    seed: int = 0
    held_out: float = 0.2

    @property
    def dialect(self) -> Dialect:
        """The dialect of delimited text."""
        return Dialect(self.delimiter, self.decimal, self.header, self.encoding)


class Option(NamedTuple):
    """A row of the table: a setting, how its text is checked, and its help."""

    name: str
    parse: Callable[[str], object]
    metavar: str
    help: str

    @property
    def flag(self) -> str:
        """The option of the command."""
        return f"--{self.name.replace('_', '-')}"


def whole(lowest: int) -> Callable[[str], int]:
    """Returns the check of whole numbers of at least `lowest`."""

    def parse(text: str) -> int:
        number = int(text) if text.lstrip("-").isdecimal() else lowest - 1
        if number < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number of {lowest} or more, not {text!r}")
        return number

    return parse


def number(lowest: float, limit: float, *, included: bool = False) -> Callable[[str], float]:
    """Returns the check of numbers between two limits, the lower one perhaps included."""

    def parse(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = lowest - 1
        if not (lowest < found < limit or (included and found == lowest)):
            wanted = f"between {lowest:g} and {limit:g}" if isfinite(limit) else f"above {lowest:g}"
            raise argparse.ArgumentTypeError(f"must be a number {wanted}, not {text!r}")
        return found

    return parse


def name(valid: Names[N]) -> Callable[[str], N]:
    """Returns the check of names."""

    def parse(text: str) -> N:
        try:
            return valid(text)
        except UnknownNameError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def several(parse: Callable[[str], N]) -> Callable[[str], tuple[N, ...]]:
    """Returns the check of values between commas."""
    return lambda text: tuple(parse(part.strip()) for part in text.split(",") if part.strip())


def lengths(text: str) -> tuple[int, ...]:
    """Returns the lengths of hidden layers; `none` are none."""
    return () if text in {"none", ""} else tuple(map(whole(1), text.split(",")))


def delimiter(text: str) -> str:
    """Returns a delimiter, which may be named."""
    named = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "pipe": "|"}
    found = named.get(text, text)
    if len(found) != 1:
        raise argparse.ArgumentTypeError(
            f"must be one character, tab, space, comma, semicolon or pipe, not {text!r}"
        )
    return found


def decimal(text: str) -> str:
    """Returns a decimal sign."""
    found = {"comma": ",", "point": "."}.get(text, text)
    if found not in {".", ","}:
        raise argparse.ArgumentTypeError(f"must be point or comma, not {text!r}")
    return found


def boolean(text: str) -> bool:
    """Returns true or false."""
    if text.lower() not in {"true", "false"}:
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text.lower() == "true"


DIALECT = (
    Option("delimiter", delimiter, "C", "between values: a character, tab or space; default: found"),
    Option("decimal", decimal, "C", "the decimal sign, point or comma; default: found"),
    Option(
        "encoding", str, "NAME", "of delimited text, such as latin-1; default: UTF-8, or as its mark says"
    ),
)
"""`header` is the fourth, with the options `--header` and `--no-header`."""

COLUMNS = (
    Option("target", str, "COLUMN", "the column to learn, or several between commas; default: the last"),
    Option("features", several(str), "COLUMNS", "the columns to learn from, between commas; default: all"),
    Option("drop", several(str), "COLUMNS", "columns to leave out, between commas"),
    Option("labels", str, "FILE", "the labels of IDX images; default: found beside them"),
)

TRAINING = (
    Option("task", name(TASKS), "NAME", f"{' or '.join(TASKS)}; default: by the target"),
    Option(
        "hidden", lengths, "N,N", "units of the hidden layers, such as 64,32, or none; default: by the data"
    ),
    Option("activation", name(names.activation), "NAME", "of the hidden layers; default: silu"),
    Option("normalization", name(names.normalization), "NAME", "of the hidden layers; default: none"),
    Option("dropout", number(0, 1, included=True), "X", "the fraction of units dropped; default: 0"),
    Option("l2", number(0, float("inf"), included=True), "X", "the L2 penalty of weights; default: 0.0001"),
    Option("loss", name(names.loss), "NAME", "default: crossentropy for classes, MSE for numbers"),
    Option("optimizer", name(names.optimizer), "NAME", f"{', '.join(names.optimizer)}; default: adam"),
    Option("learning_rate", number(0, float("inf")), "X", "default: by the optimizer"),
    Option("schedule", name(SCHEDULES), "NAME", f"of the rate: {', '.join(SCHEDULES)}; default: constant"),
    Option("class_weight", name(CLASS_WEIGHTS), "NAME", f"{' or '.join(CLASS_WEIGHTS)}; default: none"),
    Option("metrics", several(name(names.metric)), "NAMES", "curves to record, between commas"),
    Option("epochs", whole(1), "N", f"the most passes over the samples; default: {EPOCHS}"),
    Option("patience", whole(0), "N", f"epochs without progress to wait for; 0: all; default: {PATIENCE}"),
    Option("batch_size", whole(1), "N", "samples per step; default: by their number"),
    Option("threads", whole(1), "N", "default: all cores"),
    Option("seed", whole(0), "N", "of split, weights and order; default: 0"),
    Option("held_out", number(0, 1), "X", "the fraction of samples to measure with; default: 0.2"),
)

ROWS = (*COLUMNS, *DIALECT, Option("header", boolean, "", ""), *TRAINING)


def add_options(parser: argparse.ArgumentParser, title: str, rows: Iterable[Option]) -> None:
    """Adds the options of some settings to a parser; those that are not given stay out of its namespace."""
    group = parser.add_argument_group(title)
    for row in rows:
        group.add_argument(
            row.flag, type=row.parse, metavar=row.metavar, help=row.help, default=argparse.SUPPRESS
        )


def add_dialect(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the dialect of delimited text to a parser."""
    add_options(parser, "delimited text", DIALECT)
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help="whether the first line names the columns; default: found",
    )


def settings_of(options: argparse.Namespace, config: Path | None) -> Settings:
    """Returns the settings of the options that were given, before those of a TOML file.

    Raises:
        FileFormatError: the file is missing, or no TOML.
        SettingError: a setting in it is unknown or wrong.
    """
    given = {} if config is None else read_config(config)
    known = {field.name for field in fields(Settings)}
    given |= {key: value for key, value in vars(options).items() if key in known}
    return Settings(**given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  (checked by the rows)


def read_config(path: Path) -> dict[str, object]:
    """Reads the settings of a TOML file.

    Raises:
        FileFormatError: the file is missing, or no TOML.
        SettingError: a setting is unknown or wrong.
    """
    import tomllib

    if not path.is_file():
        raise FileFormatError(f"{path}: there is no such file")
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: expected TOML, found something else: {error}") from None
    rows = {row.name: row for row in ROWS}
    settings: dict[str, object] = {}
    for key, value in found.items():
        if key not in rows:
            raise UnknownNameError(f"{path}: setting", key, rows)
        text = ",".join(map(str, value)) if is_list(value) else str(value)
        try:
            settings[key] = rows[key].parse(text)
        except argparse.ArgumentTypeError as error:
            raise SettingError(f"{path}: {key} {error}") from None
    return settings


def toml_of(settings: Settings) -> str:
    """Returns the settings as TOML; those that are None are left out.

    >>> print(toml_of(Settings(target="price", hidden=(64, 32), epochs=10)).splitlines()[:2])
    ['target = "price"', 'drop = []']
    """
    lines: list[str] = []
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if value is not None:
            lines.append(f"{field.name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"
