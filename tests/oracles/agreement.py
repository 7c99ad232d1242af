"""When a computed array agrees with its reference.

A sum of rounded terms is off by at most a few eps times the sum of the terms' magnitudes, whatever the order
of addition; so is whatever is linear in it. A tolerance is therefore stated in such units: `units` times eps
of the computed dtype times the magnitude, which is that of the reference unless a test gives the magnitude
of the terms, as it must where they cancel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def deviation(
    computed: NDArray[Any], reference: ArrayLike, magnitude: ArrayLike | None = None
) -> NDArray[np.longdouble]:
    """|computed - reference| in units of eps times magnitude; numbers below the normal range count as 0.

    Numbers beyond the range of the dtype count as infinite, and infinite ones agree where they are equal.
    """
    expected = np.asarray(reference, np.longdouble)
    kind = np.finfo(computed.dtype)
    expected = np.where(abs(expected) > np.longdouble(kind.max), np.copysign(np.inf, expected), expected)
    size = abs(expected) if magnitude is None else np.asarray(magnitude, np.longdouble)
    with np.errstate(invalid="ignore"):
        off = abs(np.asarray(computed, np.longdouble) - expected)
    allowed = np.longdouble(kind.eps) * np.broadcast_to(size, expected.shape) + np.longdouble(kind.tiny)
    return np.where(np.isinf(expected) & (computed == expected), 0, off / allowed).astype(np.longdouble)


def assert_agrees(
    computed: NDArray[Any],
    reference: ArrayLike,
    units: float,
    magnitude: ArrayLike | None = None,
    what: str = "the result",
) -> None:
    """Same shape, and each number within `units` (see `deviation`)."""
    expected = np.asarray(reference)
    assert computed.shape == expected.shape, f"{what}: shape {computed.shape}, reference {expected.shape}"
    off = deviation(computed, expected, magnitude)
    assert not np.isnan(off).any(), f"{what} holds NaN:\n{computed}\nreference\n{expected}"
    if off.size and off.max() > units:
        place = np.unravel_index(int(off.argmax()), off.shape)
        raise AssertionError(
            f"{what}: off by {float(off.max()):.3g} units, {units} are allowed; at {tuple(map(int, place))} "
            f"{computed[place]!r}, reference {expected[place]!r}\n{computed}\nreference\n{expected}"
        )


def assert_near(computed: float, reference: float, rel: float, what: str = "the number") -> None:
    """Within so much of the reference, relative."""
    assert abs(computed - reference) <= rel * abs(reference), f"{what}: {computed!r}, reference {reference!r}"


def assert_close(
    computed: NDArray[Any], reference: ArrayLike, units: float, what: str = "the result"
) -> None:
    """As `assert_agrees`, in terms of the largest number of the reference: for results of whole networks."""
    expected = np.asarray(reference, np.longdouble)
    magnitude = np.full(expected.shape, abs(expected).max(initial=0))
    assert_agrees(computed, expected, units, magnitude, what)
