"""Predictions in functions that users have numba compile."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

from tests.conftest import compiling_only
from tests.oracles.agreement import assert_close
from tests.oracles.problems import problem
from tests.typednn.building import DTYPES, network_of

numba = pytest.importorskip("numba", reason="numba is not installed", exc_type=ImportError)
pytestmark = compiling_only

rotated = [
    pytest.param(np.float32),
    pytest.param(np.float64, marks=pytest.mark.full("compiles another function; float32 stands for it")),
]
assert [each.values[0] for each in rotated] == list(DTYPES)


@pytest.mark.parametrize("dtype", rotated)
def test_compiled_code_predicts(dtype: Any) -> None:
    case = problem((3, 4, 2), ("sigmoid", "tanh", "softmax"), "crossentropy", 7, dtype)
    network = network_of(case)
    predict = network.compiled_predictor()

    def by_rows(x: Any) -> Any:
        outputs = np.empty((len(x), 2), x.dtype)
        for i in numba.prange(len(x)):
            outputs[i] = predict(x[i])
        return outputs

    all_of: Any = numba.njit(parallel=dtype is np.float64)(by_rows)

    assert_close(all_of(case.x), case.trace.h[-1], 32)
    assert_close(all_of(np.repeat(case.x, 2, axis=1)[:, ::2]), case.trace.h[-1], 32, "strided")
    assert np.isnan(all_of(np.full((1, 3), np.inf, dtype))).all()
    with pytest.raises(ValueError, match=r"the sample must have the shape \(3,\)"):
        predict(case.x[0, :2])

    network.parameters[...] = 0
    assert all_of(case.x).tolist() == [[0.5, 0.5]] * 7
    parameters = network.parameters
    del network, parameters
    gc.collect()
    assert all_of(case.x).tolist() == [[0.5, 0.5]] * 7


@pytest.mark.full("compiles a function; numba refuses to keep all that have addresses")
def test_code_with_addresses_is_not_kept_on_disk(tmp_path: Any, monkeypatch: Any) -> None:
    case = problem((3, 4, 2), ("sigmoid", "tanh", "softmax"), "crossentropy", 7)
    predict = network_of(case).compiled_predictor()
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))

    def of_first(x: Any) -> Any:
        return predict(x[0])

    first: Any = numba.njit(cache=True)(of_first)

    with pytest.warns(numba.NumbaWarning, match="dynamic globals"):
        assert_close(first(case.x), case.trace.h[-1][0], 32)
    assert not list(tmp_path.rglob("*.nbc"))
