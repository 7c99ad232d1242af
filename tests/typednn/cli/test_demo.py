"""The demonstration: its data, what it reaches, and its times."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import PATHS, kernels_of
from typednn import MissingExtraError, use_backend
from typednn.cli.demo import HELD_OUT, SIDE, Digits, demonstrate, scanned_digits, step_times

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


ON_PATHS = [
    pytest.param(path, marks=() if path == PATHS[-1] else pytest.mark.full("as the compiled path"))
    for path in PATHS
]


@pytest.fixture(scope="module")
def digits() -> Digits:
    return scanned_digits()


def test_a_fifth_of_each_digit_is_held_out(digits: Digits) -> None:
    scans = digits.y[: digits.scans]

    assert digits.scans + len(digits.held_y) == 1797
    for digit in range(10):
        held, learnt = (digits.held_y == digit).sum(), (scans == digit).sum()
        assert abs(held - HELD_OUT * (held + learnt)) < 1


def test_pixels_are_float32_from_0_to_1(digits: Digits) -> None:
    for x in (digits.x, digits.held_x):
        assert x.dtype == np.float32
        assert x.min() == 0.0
        assert x.max() == 1.0


def test_held_out_digits_are_not_learnt_from(digits: Digits) -> None:
    from sklearn.datasets import load_digits

    scans = {row.tobytes() for row in digits.x[: digits.scans]}
    every = sorted(row.astype(np.float32).tobytes() for row in load_digits(return_X_y=True)[0] / 16)

    assert not scans & {row.tobytes() for row in digits.held_x}
    assert (
        sorted(
            [*(row.tobytes() for row in digits.x[: digits.scans]), *(row.tobytes() for row in digits.held_x)]
        )
        == every
    )


def test_copies_are_moved_by_a_pixel_or_turned(digits: Digits) -> None:
    images = digits.x.reshape(7, digits.scans, SIDE, SIDE)
    scan, down, up, right, left, turned, turned_back = images[:, 3]

    np.testing.assert_array_equal(down[1:], scan[:-1])
    np.testing.assert_array_equal(up[:-1], scan[1:])
    np.testing.assert_array_equal(right[:, 1:], scan[:, :-1])
    np.testing.assert_array_equal(left[:, :-1], scan[:, 1:])
    for moved in (down[0], up[-1], right[:, 0], left[:, -1]):
        assert not moved.any()
    for copy in (turned, turned_back):
        assert not np.array_equal(copy, scan)
        assert np.corrcoef(copy.ravel(), scan.ravel())[0, 1] > 0.8
    assert not np.array_equal(turned, turned_back)
    np.testing.assert_array_equal(digits.y.reshape(7, -1)[6], digits.y[: digits.scans])


@pytest.mark.parametrize("path", ON_PATHS, indirect=True)
@pytest.mark.usefixtures("path")
def test_it_reads_97_percent_of_the_held_out_digits(digits: Digits) -> None:
    shown = demonstrate(digits, seed=3)

    right = shown.probabilities.argmax(axis=1) == digits.held_y
    assert right.mean() >= 0.97
    assert shown.accuracy == pytest.approx(right.mean())
    assert shown.wrong == (~right).sum()
    assert shown.curves.held_accuracy[-1] == pytest.approx(right.mean())
    assert shown.check_gradients().passed


def test_curves_have_a_point_for_each_epoch(digits: Digits) -> None:
    few = replace(digits, x=digits.x[:400], y=digits.y[:400], scans=400)
    seen: list[int] = []
    with use_backend("numpy"):
        for epochs in (1, 4, 6):
            curves = demonstrate(few, epochs, on_epoch=lambda curves: seen.append(len(curves.loss))).curves
            for curve in (curves.loss, curves.held_loss, curves.accuracy, curves.held_accuracy):
                assert len(curve) == epochs
    assert seen == [1, *range(1, 5), *range(1, 7)]
    assert curves.loss[-1] < curves.loss[0]
    assert curves.held_loss[-1] < curves.held_loss[0]


def test_the_seed_decides(digits: Digits) -> None:
    few = replace(digits, x=digits.x[:200], y=digits.y[:200], scans=200)
    with use_backend("numpy"):
        first, again, other = (demonstrate(few, 1, seed).probabilities for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_numpy_alone_is_timed_where_it_is_the_backend(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typednn.cli.demo.ROUND_SECONDS", 0.001)
    with use_backend("numpy"):
        times = step_times(digits)

    assert [time.batch_size for time in times] == [1, 32]
    assert all(time.numpy > 0 and time.numba is None for time in times)


@pytest.mark.skipif("numba" not in PATHS, reason="TYPEDNN_BACKEND is numpy")
def test_both_paths_are_timed(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels_of("numba")
    monkeypatch.setattr("typednn.cli.demo.ROUND_SECONDS", 0.001)
    with use_backend("numba"):
        times = step_times(digits)

    for time in times:
        assert time.numba is not None
        assert time.numba > 0
        assert time.numpy > 0


def test_scikit_learn_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"needs scikit-learn: pip install 'typednn\[cli\]'"):
        scanned_digits()
