"""Ten tables, from the file to the measure: the command's training and scikit-learn's perceptron.

`python -m benchmarks.tables` prints, for each table, the mean accuracy or R² of both on the same held-out
samples of up to 30 splits, the mean difference with its standard error, and the seconds from the file to the
measure. scikit-learn imputes, encodes and scales
as its documentation recommends (ColumnTransformer, SimpleImputer, OneHotEncoder, StandardScaler), and trains
MLPClassifier or MLPRegressor with their default settings.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from tests.typednn.data.made_tables import MADE, SHIPPED, as_csv, shipped
from typednn.cli.output import headline
from typednn.cli.settings import Settings
from typednn.cli.train import Training, train
from typednn.data.reading import read_data
from typednn.tables import aligned

MAX_SPLITS, MIN_SPLITS, SECONDS = 30, 3, 20
"""The number of splits of a table, fewer where they take longer than these seconds."""


def main(names: list[str]) -> int:
    """Compares the two on some tables, by default all."""
    rows: list[tuple[str, ...]] = [
        ("table", "typednn", "scikit-learn", "difference", "splits", "s", "s", "times faster")
    ]
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of epochs that did not suffice
        for name in names or [*SHIPPED, *MADE]:
            rows.append(compared(name, Path(folder) / f"{name}.csv"))
            print(aligned([rows[0], rows[-1]])[-1], flush=True)
    print("", *aligned(rows), sep="\n")
    return 0


def compared(name: str, path: Path) -> tuple[str, ...]:
    """Trains both with a table of some seeds."""
    columns, target = shipped(name) if name in SHIPPED else (MADE[name][0](), MADE[name][1])
    path.write_text(as_csv(columns), encoding="utf-8")
    ours: list[float] = []
    theirs: list[float] = []
    seconds = [0.0, 0.0]
    train(read_data(path, target=target), Settings(target=target, epochs=1))  # loads the kernels
    for seed in range(MAX_SPLITS):
        if seed >= MIN_SPLITS and sum(seconds) > SECONDS:
            break
        began = perf_counter()
        training = train(read_data(path, target=target), Settings(target=target, seed=seed))
        seconds[0] += perf_counter() - began
        ours.append(next(iter(headline(training.measures).values())))
        began = perf_counter()
        theirs.append(pipeline(path, target, seed, training))
        seconds[1] += perf_counter() - began
    count = len(ours)
    each = [second / count for second in seconds]
    gains = np.array(ours) - theirs
    return (
        name,
        f"{np.mean(ours):.4f}",
        f"{np.mean(theirs):.4f}",
        f"{gains.mean():+.4f} ± {gains.std(ddof=1) / count**0.5:.4f}",
        f"{count}",
        *(f"{second:.3f}" for second in each),
        f"{each[1] / each[0]:.1f}",
    )


def pipeline(path: Path, target: str, seed: int, training: Training) -> float:
    """Trains scikit-learn's perceptron with the same samples, and measures it on the same held-out ones."""
    from importlib import import_module

    pandas: Any = import_module("pandas")
    compose, impute, networks, pipelines, scaling = (
        import_module(f"sklearn.{name}")
        for name in ("compose", "impute", "neural_network", "pipeline", "preprocessing")
    )
    frame: Any = pandas.read_csv(path)
    targets = list(training.prepared.data.targets)
    used = [each.name for each in training.model.preprocessing.features]
    x, y = frame[used], frame[targets] if len(targets) > 1 else frame[target]
    numbers = pipelines.make_pipeline(impute.SimpleImputer(strategy="median"), scaling.StandardScaler())
    words = pipelines.make_pipeline(
        impute.SimpleImputer(strategy="most_frequent"), scaling.OneHotEncoder(handle_unknown="ignore")
    )
    columns = compose.make_column_transformer(
        (numbers, compose.make_column_selector(dtype_include=np.number)),
        (words, compose.make_column_selector(dtype_exclude=np.number)),
    )
    if training.prepared.task == "classification":
        last: Any = networks.MLPClassifier(random_state=seed)
    else:
        last = compose.TransformedTargetRegressor(
            networks.MLPRegressor(random_state=seed), transformer=scaling.StandardScaler()
        )
    fitted: Any = pipelines.make_pipeline(columns, last)
    fitted.fit(x.iloc[training.training], y.iloc[training.training])
    return float(fitted.score(x.iloc[training.held_out], y.iloc[training.held_out]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
