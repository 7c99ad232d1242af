"""Which cases of a large table the default run takes; `--full` takes all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd


def one_of_each(cases: Sequence[Mapping[str, object]], names: Sequence[str]) -> list[int]:
    """Selects one case for each combination of the values of `names`, and returns the positions.

    The other parameters rotate: where the named values stand at positions i and j in the table, the case
    is number (i + j) · step of the combination, the step being coprime to their count and about 0.618 of it,
    so that values that change slowly along the table change from case to case. A value of any parameter
    that this never meets adds the first case that has it.
    """
    positions: dict[str, dict[str, int]] = {name: {} for name in names}
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, case in enumerate(cases):
        key = tuple(seen.setdefault(repr(case[name]), len(seen)) for name, seen in positions.items())
        groups.setdefault(key, []).append(index)

    kept: list[int] = []
    for key, group in groups.items():
        count = len(group)
        step = next(step for step in range(round(0.618 * count), 2 * count) if gcd(step, count) == 1)
        kept.append(group[sum(key) * step % count])

    met = {(name, repr(value)) for index in kept for name, value in cases[index].items()}
    for index, case in enumerate(cases):
        values = {(name, repr(value)) for name, value in case.items()}
        if not values <= met:
            kept.append(index)
            met |= values
    return sorted(kept)
