"""Tables in the style of well-known ones, made by chance: nothing is downloaded.

Columns have the names, kinds, gaps and frequencies of the real ones; the rules of the targets are below.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Columns = dict[str, list[Any]]


def titanic_like(samples: int = 891, seed: int = 0) -> Columns:
    """Passengers: names, tickets, classes, ages with gaps, cabins that are mostly missing, survival."""
    random = np.random.default_rng(seed)
    grade = random.choice([1, 2, 3], samples, p=[0.24, 0.21, 0.55])
    female = random.random(samples) < 0.35
    age = np.clip(random.normal(38 - 4 * grade, 13, samples), 0.5, 80).round(1)
    siblings, parents = random.poisson(0.5, samples), random.poisson(0.38, samples)
    fare = (random.lognormal(4.4 - 0.75 * grade, 0.5) * (1 + 0.3 * siblings)).round(4)
    port = random.choice(["S", "C", "Q"], samples, p=[0.72, 0.19, 0.09])
    logit = 2.6 * female - 0.9 * (grade - 2) - 0.03 * (age - 30) - 0.3 * siblings + 0.4 * (port == "C") - 0.9
    survived = random.random(samples) < 1 / (1 + np.exp(-logit))
    surnames = random.choice(["Berg", "Moss", "Pell", "Holm", "Quin", "Voss"], samples)
    return {
        "PassengerId": list(range(1, samples + 1)),
        "Survived": survived.astype(int).tolist(),
        "Pclass": grade.tolist(),
        "Name": [
            f"{name}, {'Mrs' if f else 'Mr'}. No {k}"
            for k, (name, f) in enumerate(zip(surnames, female, strict=True))
        ],
        "Sex": ["female" if f else "male" for f in female],
        "Age": _with_gaps(age.tolist(), 0.2, random),
        "SibSp": siblings.tolist(),
        "Parch": parents.tolist(),
        "Ticket": [str(number) for number in random.permutation(samples * 9)[:samples]],
        "Fare": fare.tolist(),
        "Cabin": _with_gaps([f"{'ABCDE'[k % 5]}{k % 120}" for k in range(samples)], 0.77, random),
        "Embarked": _with_gaps(port.tolist(), 0.003, random),
    }


def adult_like(samples: int = 6000, seed: int = 0) -> Columns:
    """A census: many categories with rare ones, `?` for gaps, an income above or below 50K."""
    random = np.random.default_rng(seed)
    age = np.clip(random.gamma(6, 6.5, samples), 17, 90).astype(int)
    years = np.clip(random.normal(10, 2.6, samples).round(), 1, 16).astype(int)
    levels = ["Preschool", *(f"{k}th" for k in range(4, 12)), "HS-grad", "Some-college", "Assoc", "Bachelors"]
    levels += ["Masters", "Prof-school", "Doctorate"]
    married = random.random(samples) < np.clip((age - 15) / 40, 0.05, 0.7)
    works = ["Private", "Self-emp", "Local-gov", "State-gov", "Federal-gov", "Without-pay"]
    jobs = ["Sales", "Craft-repair", "Exec-managerial", "Prof-specialty", "Adm-clerical", "Other-service"]
    job = random.choice(jobs, samples)
    male = random.random(samples) < 0.67
    hours = np.clip(random.normal(40 + 3 * male, 11, samples).round(), 1, 99).astype(int)
    gain = np.where(random.random(samples) < 0.08, random.lognormal(8.5, 1, samples).round(), 0).astype(int)
    logit = (
        *(0.045 * (age - 40), 0.38 * (years - 10), 2.0 * married, 0.03 * (hours - 40), 0.0002 * gain),
        *(0.9 * np.isin(job, ["Exec-managerial", "Prof-specialty"]), -0.0012 * (age - 45.0) ** 2),
    )
    high = random.random(samples) < 1 / (1 + np.exp(2.3 - np.sum(logit, axis=0)))
    lands = ["United-States", "Mexico", "Philippines", "Germany", "Cuba", "Laos", "Holand"]
    return {
        "age": age.tolist(),
        "workclass": _with_gaps(
            random.choice(works, samples, p=[0.7, 0.11, 0.07, 0.06, 0.055, 0.005]).tolist(), 0.06, random, "?"
        ),
        "fnlwgt": random.integers(12_000, 900_000, samples).tolist(),
        "education": [levels[k - 1] for k in years],
        "education-num": years.tolist(),
        "marital-status": [
            "Married" if m else ("Never-married", "Divorced")[k % 2] for k, m in enumerate(married)
        ],
        "occupation": _with_gaps(job.tolist(), 0.06, random, "?"),
        "sex": ["Male" if m else "Female" for m in male],
        "capital-gain": gain.tolist(),
        "hours-per-week": hours.tolist(),
        "native-country": _with_gaps(
            random.choice(lands, samples, p=[0.9, 0.05, 0.02, 0.015, 0.01, 0.0045, 0.0005]).tolist(),
            0.02,
            random,
            "?",
        ),
        "income": [">50K" if h else "<=50K" for h in high],
    }


def car_like(samples: int = 1728, seed: int = 0) -> Columns:
    """Evaluations of cars: categories only, four classes of very different size."""
    random = np.random.default_rng(seed)
    prices, counts = ["vhigh", "high", "med", "low"], ["2", "3", "4", "5more"]
    buying, upkeep = random.integers(0, 4, samples), random.integers(0, 4, samples)
    doors, persons = random.integers(0, 4, samples), random.integers(0, 3, samples)
    boot, safety = random.integers(0, 3, samples), random.integers(0, 3, samples)
    score = buying + upkeep + 0.6 * doors + 0.8 * boot + 1.8 * safety + 1.2 * persons
    out = (persons == 0) | (safety == 0)
    grade = np.where(out, 0, np.digitize(score, [7.5, 10.5, 12.5]))
    return {
        "buying": [prices[k] for k in buying],
        "maint": [prices[k] for k in upkeep],
        "doors": [counts[k] for k in doors],
        "persons": [("2", "4", "more")[k] for k in persons],
        "lug_boot": [("small", "med", "big")[k] for k in boot],
        "safety": [("low", "med", "high")[k] for k in safety],
        "class": [("unacc", "acc", "good", "vgood")[k] for k in grade],
    }


def california_like(samples: int = 6000, seed: int = 0) -> Columns:
    """House values by district: skewed numbers, a category, gaps, a value that is cut off."""
    random = np.random.default_rng(seed)
    longitude, latitude = random.uniform(-124, -114.5, samples), random.uniform(32.5, 42, samples)
    income = random.gamma(4, 0.95, samples)
    age = random.integers(1, 53, samples)
    rooms = random.lognormal(7.5, 0.75, samples).round()
    bedrooms, people = (
        (rooms * random.normal(0.21, 0.03, samples)).round(),
        (rooms * random.uniform(0.3, 0.9, samples)).round(),
    )
    far = np.abs(longitude + 124 - 0.95 * (42 - latitude))
    near = np.where(far < 0.6, "NEAR OCEAN", np.where(far < 1.5, "<1H OCEAN", "INLAND"))
    value = 42_000 * income + 90_000 * np.exp(-far) + 700 * age + 40_000 * np.sin(2 * latitude) + 20_000
    value = np.clip(value * random.lognormal(0, 0.17, samples), 15_000, 500_001).round()
    return {
        "longitude": longitude.round(2).tolist(),
        "latitude": latitude.round(2).tolist(),
        "housing_median_age": age.tolist(),
        "total_rooms": rooms.tolist(),
        "total_bedrooms": _with_gaps(bedrooms.tolist(), 0.01, random),
        "population": people.tolist(),
        "median_income": income.round(4).tolist(),
        "ocean_proximity": near.tolist(),
        "median_house_value": value.tolist(),
    }


MADE: Mapping[str, tuple[Callable[[], Columns], str]] = {
    "titanic": (titanic_like, "Survived"),
    "adult": (adult_like, "income"),
    "car": (car_like, "class"),
    "california": (california_like, "median_house_value"),
}
"""What makes each table, and its target."""


def shipped(name: str) -> tuple[Columns, str]:
    """A table that scikit-learn ships, and its targets between commas."""
    from sklearn import datasets

    bunch: Any = getattr(datasets, f"load_{name}")()
    x, y = np.asarray(bunch.data), np.asarray(bunch.target)
    columns: Columns = {str(each): x[:, k].tolist() for k, each in enumerate(bunch.feature_names)}
    if y.ndim == 2:
        targets = list(map(str, bunch.target_names))
        return columns | {each: y[:, k].tolist() for k, each in enumerate(targets)}, ",".join(targets)
    named = hasattr(bunch, "target_names") and name != "diabetes"
    return columns | {"target": [str(bunch.target_names[k]) if named else k for k in y.tolist()]}, "target"


SHIPPED = ("iris", "wine", "digits", "breast_cancer", "diabetes", "linnerud")


def as_csv(columns: Columns, delimiter: str = ",", *, header: bool = True) -> str:
    """The table as CSV, empty where a value is missing."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()


def _with_gaps(
    values: Sequence[Any], fraction: float, random: np.random.Generator, gap: Any = None
) -> list[Any]:
    return [
        gap if missing else value
        for value, missing in zip(values, random.random(len(values)) < fraction, strict=True)
    ]
