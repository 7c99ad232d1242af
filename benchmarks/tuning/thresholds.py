"""Table of measurements: for each threshold, two ways to compute the same by size, or several values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Values: TypeAlias = Mapping[str, object]
"""Changed thresholds by name."""

NEVER = 1 << 40
"""A threshold that no size reaches."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way to compute something: with changed thresholds, by a number of threads."""

    values: Values
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Crossover:
    """A threshold between two ways, measured as the size at which they are equally fast.

    Attributes:
        name: the threshold.
        unit: its unit.
        workload: name of the workload.
        sizes: increasing sizes at which both ways are timed.
        quantity: converts a size to the unit of the threshold.
        below: the way to take below the threshold.
        above: the way to take above it.
    """

    name: str
    unit: str
    workload: str
    sizes: tuple[int, ...]
    quantity: Callable[[int], float]
    below: Way
    above: Way

    @property
    def ways(self) -> dict[str, Way]:
        """Both ways by label."""
        return {"below": self.below, "above": self.above}


@dataclass(frozen=True, slots=True)
class Sweep:
    """A threshold that is measured by the speed at several values.

    Attributes:
        name: the threshold.
        unit: its unit.
        workload: name of the workload.
        size: its size.
        choices: changed thresholds by label.
        threads: number of threads.
        speed: unit of the speed, GFLOP/s of a product or µs per step or call.
    """

    name: str
    unit: str
    workload: str
    size: int
    choices: Mapping[str, Values]
    threads: int = 1
    speed: Literal["GFLOP/s", "µs"] = "µs"

    @property
    def ways(self) -> dict[str, Way]:
        """A way for each value, by label."""
        return {label: Way(values, self.threads) for label, values in self.choices.items()}


def _sweep(name: str, unit: str, workload: str, size: int, *values: int) -> Sweep:
    return Sweep(name, unit, workload, size, {f"{value:,}": {name: value} for value in values}, 2)


def _gemm_sweep(name: str, unit: str, choices: Mapping[str, Values]) -> Sweep:
    return Sweep(name, unit, "square product", 768, choices, speed="GFLOP/s")


def _kib(name: str, *values: int) -> dict[str, Values]:
    return {f"{value << 10:,}": {name: value << 10} for value in values}


def _powers(first: int, last: int) -> tuple[int, ...]:
    return tuple(1 << exponent for exponent in range(first, last + 1))


DIVIDED: Values = {
    "GRAIN_ELEMENTS": 1 << 10,
    "GEMV_GRAIN_WEIGHTS": 1 << 10,
    "GEMM_GRAIN_FMAS": 1,
    "ONLINE_GRAIN_WEIGHTS": 1 << 10,
    "ONLINE_MIN_CALL_WEIGHTS": 1,
    "BATCH_MIN_STEP_FMAS": 1,
    "BATCH_MIN_CALL_FMAS": 1,
    "BATCH_MIN_THREAD_SAMPLES": 1,
}
"""Work of almost any size is divided between threads."""
ONE, TWO = Way(DIVIDED, 1), Way(DIVIDED, 2)

IN_PLACE: Values = {"GEMM_PACK_MIN_BYTES": NEVER}
Y_PACKED: Values = {"GEMM_PACK_MIN_BYTES": 0, "GEMM_PACK_B_MIN_ROWS": 0, "GEMM_PACK_A_MIN_COLUMNS": NEVER}
X_PACKED: Values = {"GEMM_PACK_MIN_BYTES": 0, "GEMM_PACK_B_MIN_ROWS": NEVER, "GEMM_PACK_A_MIN_COLUMNS": 0}

SCALARS: Values = {
    "LOOP_SCALAR_ELEMENTS": 16,
    "SHORT_ROW_REGISTERS": 1,
    "SHORT_VECTOR_REGISTERS": 0,
    "SHORT_GEMV_REGISTERS": 0,
    "SPECIALIZED_PARAMETER_REGISTERS": 0,
}
"""Loops compute up to 16 elements one by one; nothing stays in registers but rows that fill one."""
LOOPS: Values = {**SCALARS, "LOOP_SCALAR_ELEMENTS": 0}
"""Loops compute vectors only."""
REGISTERS: Values = {
    "SHORT_ROW_REGISTERS": 8,
    "SHORT_VECTOR_REGISTERS": 8,
    "SHORT_VECTOR_SCALAR_ELEMENTS": 0,
    "SHORT_GEMV_REGISTERS": 16,
    "SPECIALIZED_PARAMETER_REGISTERS": 0,
}
"""Rows stay in registers."""
SPECIALIZED: Values = {**REGISTERS, "SPECIALIZED_PARAMETER_REGISTERS": NEVER}

MEASUREMENTS: tuple[Crossover | Sweep, ...] = (
    Crossover("GRAIN_ELEMENTS", "elements", "tanh", _powers(12, 20), lambda n: n / 2, ONE, TWO),
    Crossover(
        "GEMV_GRAIN_WEIGHTS",
        "weights",
        "affine",
        (64, 96, 128, 192, 256, 384, 512, 768, 1024),
        lambda side: side**2 / 2,
        ONE,
        TWO,
    ),
    Crossover(
        "GEMM_GRAIN_FMAS",
        "multiply-adds",
        "square product",
        (64, 80, 96, 128, 160, 192, 256, 384),
        lambda side: side**3 / 2,
        ONE,
        TWO,
    ),
    Crossover(
        "ONLINE_GRAIN_WEIGHTS",
        "weights",
        "online, side",
        (64, 96, 128, 192, 256, 384, 512),
        lambda side: side**2 / 2,
        ONE,
        TWO,
    ),
    Crossover(
        "ONLINE_MIN_CALL_WEIGHTS",
        "weights × samples",
        "online, steps",
        _powers(2, 10),
        lambda steps: 256**2 * steps,
        ONE,
        TWO,
    ),
    Crossover(
        "BATCH_MIN_STEP_FMAS",
        "parameters × samples",
        "mini-batches, side",
        (64, 96, 128, 192, 256, 384, 512),
        lambda side: 32 * (side**2 + 12 * side + 10),
        ONE,
        TWO,
    ),
    Crossover(
        "BATCH_MIN_CALL_FMAS",
        "parameters × samples",
        "mini-batches, steps",
        _powers(0, 6),
        lambda steps: 64 * (256**2 + 12 * 256 + 10) * steps,
        ONE,
        TWO,
    ),
    Crossover(
        "BATCH_MIN_THREAD_SAMPLES",
        "samples",
        "mini-batches, batch size",
        _powers(1, 6),
        lambda size: size / 2,
        ONE,
        TWO,
    ),
    Crossover(
        "GEMM_PACK_MIN_BYTES",
        "bytes",
        "product, y by size",
        (16, 32, 48, 64, 96, 128, 192, 256),
        lambda side: 4 * side**2,
        Way(IN_PLACE),
        Way(Y_PACKED),
    ),
    Crossover(
        "GEMM_PACK_B_MIN_ROWS",
        "rows",
        "product, y by rows of x",
        _powers(2, 9),
        float,
        Way(IN_PLACE),
        Way(Y_PACKED),
    ),
    Crossover(
        "GEMM_PACK_A_MIN_COLUMNS",
        "columns",
        "product, x by columns of y",
        _powers(4, 10),
        float,
        Way(IN_PLACE),
        Way(X_PACKED),
    ),
    Crossover(
        "LOOP_SCALAR_ELEMENTS",
        "elements",
        "online, few units",
        tuple(range(1, 13)),
        float,
        Way(SCALARS),
        Way(LOOPS),
    ),
    Crossover(
        "SHORT_VECTOR_SCALAR_ELEMENTS",
        "elements",
        "online, few units",
        tuple(range(1, 9)),
        float,
        Way(SCALARS),
        Way(REGISTERS),
    ),
    Crossover(
        "SHORT_ROW_REGISTERS",
        "vector registers",
        "softmax of short rows",
        tuple(range(2, 9)),
        float,
        Way(REGISTERS),
        Way(LOOPS),
    ),
    Crossover(
        "SHORT_VECTOR_REGISTERS",
        "vector registers",
        "online, units by registers",
        tuple(range(1, 9)),
        float,
        Way(REGISTERS),
        Way(LOOPS),
    ),
    Crossover(
        "SHORT_GEMV_REGISTERS",
        "vector registers",
        "online, inputs by registers",
        (1, 2, 4, 6, 8, 10, 12, 14, 16),
        float,
        Way(REGISTERS),
        Way(LOOPS),
    ),
    Crossover(
        "SPECIALIZED_PARAMETER_REGISTERS",
        "vector registers",
        "online, parameters by registers",
        (24, 32, 48, 64, 96, 128),
        float,
        Way(SPECIALIZED),
        Way(REGISTERS),
    ),
    Crossover(
        "LONG_ROW_ELEMENTS",
        "elements",
        "softmax row",
        _powers(11, 16),
        float,
        Way({"LONG_ROW_ELEMENTS": NEVER}),
        Way({"LONG_ROW_ELEMENTS": 0}),
    ),
    _gemm_sweep(
        "GEMM_NR_VECTORS",
        "vectors",
        {str(n): {"GEMM_NR_VECTORS": n, "GEMM_B_PANEL_BYTES": n << 13} for n in (2, 3)},
    ),
    _gemm_sweep(
        "GEMM_MR_ROWS",
        "rows",
        {
            str(rows): {
                "GEMM_MR_ROWS": {registers: dict.fromkeys((1, 2, 3), (rows, 2)) for registers in (16, 32)}
            }
            for rows in (4, 8)
        },
    ),
    _gemm_sweep("GEMM_B_PANEL_BYTES", "bytes", _kib("GEMM_B_PANEL_BYTES", 12, 24, 48)),
    _gemm_sweep("GEMM_A_BLOCK_BYTES", "bytes", _kib("GEMM_A_BLOCK_BYTES", 128, 256, 512)),
    _gemm_sweep("GEMM_B_BLOCK_PANELS", "panels", {str(n): {"GEMM_B_BLOCK_PANELS": n} for n in (2, 4, 8)}),
    _sweep("ONLINE_SPINS_BEFORE_SLEEP", "spins", "online, side", 512, 2000, 20000, 200000),
    _sweep("WORKER_SPINS_BEFORE_SLEEP", "spins", "tanh", 1 << 18, 500, 5000, 50000),
    _sweep("SPINS_BEFORE_YIELD", "spins", "mini-batches, side", 512, 100, 400, 900),
    _sweep("SPINS_BEFORE_SLEEP", "spins", "mini-batches, side", 512, 500, 1000, 10000),
)

UNTIMED = (
    "LOOP_BLOCK_ELEMENTS",
    "CHUNK_ELEMENTS",
    "SCRATCH_ROW_ELEMENTS",
    "STACK_ROW_ELEMENTS",
    "GEMV_ROWS",
    "GEMM_FEW_ROWS_RATIO",
    "THREAD_TILE_ROWS",
    "WORKER_IDLE_TIMEOUT_S",
)
"""Constants that are not a matter of speed, or that code is written for; their docstrings say which."""
