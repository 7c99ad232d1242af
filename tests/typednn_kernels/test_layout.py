"""The layout of flat vectors."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typednn_kernels.layout import (
    ACTIVATION,
    DROPOUT,
    LENGTH,
    PREVIOUS,
    UNITS,
    biases,
    block,
    gains,
    inv_std,
    layout_of,
    normalized,
    parameter_count,
    running_moments,
    unit_count,
    vector_size,
    weights,
    workspace_size,
)

lengths_of_layers = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def test_by_hand() -> None:
    computed = layout_of([2, 3, 1], [0, 1, 1])

    assert computed.dtype == np.int64
    assert computed[:, : UNITS + 1].tolist() == [[2, 0, 0, 0, 0, 0], [3, 2, 1, 0, 6, 2], [1, 3, 1, 9, 12, 5]]
    assert parameter_count(computed) == 3 * 2 + 3 + 1 * 3 + 1
    assert unit_count(computed) == 2 + 3 + 1


def test_a_layer_with_inputs_alone_has_parameters() -> None:
    """3 units of 2 inputs: 6 weights, 3 biases, 3 gains, 6 running moments; without inputs none but these."""
    layout = layout_of([3], [1], [1], fan_in=2)
    vector = np.arange(vector_size(layout), dtype=np.float64)

    assert (parameter_count(layout), len(vector), parameter_count(layout_of([3], [1], [1]))) == (12, 18, 0)
    assert weights(vector, layout, 0).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert biases(vector, layout, 0).tolist() == [6, 7, 8]
    assert gains(vector, layout, 0).tolist() == [9, 10, 11]
    assert running_moments(vector, layout, 0).tolist() == [[12, 13, 14], [15, 16, 17]]


def test_normalised_layers_by_hand() -> None:
    """2-3-2-1, batch and layer normalisation: 6 + 3 + 3, 6 + 2 + 2, 2 + 1 parameters, then 2 * 3 averages."""
    layout = layout_of([2, 3, 2, 1], [0] * 4, [0, 1, 2, 0], [0, 7, 0, 0])
    vector = np.arange(vector_size(layout), dtype=np.float64)
    a = np.arange(workspace_size(layout, 4), dtype=np.float64)

    assert (parameter_count(layout), len(vector), unit_count(layout)) == (25, 31, 8)
    assert gains(vector, layout, 1).tolist() == [9, 10, 11]
    assert weights(vector, layout, 2).reshape(-1).tolist() == list(range(12, 18))
    assert gains(vector, layout, 2).tolist() == [20, 21]
    assert gains(vector, layout, 3).tolist() == []
    assert running_moments(vector, layout, 1).tolist() == [[25, 26, 27], [28, 29, 30]]
    assert running_moments(vector, layout, 2).shape == (2, 0)
    assert layout[:, DROPOUT].tolist() == [0, 7, 0, 0]
    seen = [block(a, layout, k, 4) for k in range(4)]
    seen += [normalized(a, layout, k, 4) for k in (1, 2)]
    parts = [*seen, *(inv_std(a, layout, k, 4) for k in (1, 2))]
    assert [each.shape for each in parts[4:]] == [(4, 3), (4, 2), (3,), (4,)]
    places = np.concatenate([each.reshape(-1) for each in parts])
    assert len(set(places.tolist())) == len(places)
    assert normalized(a, layout, 3, 4).tolist() == block(a, layout, 3, 4).tolist()
    assert places.max() < len(a)


@given(lengths_of_layers)
def test_counts(lengths: list[int]) -> None:
    layout = layout_of(lengths, [0] * len(lengths))

    assert parameter_count(layout) == sum(n * (p + 1) for p, n in pairwise(lengths))
    assert unit_count(layout) == sum(lengths)
    assert layout[:, LENGTH].tolist() == lengths
    assert layout[:, PREVIOUS].tolist() == [0, *lengths[:-1]]


@given(lengths_of_layers)
def test_weights_and_biases_lie_one_after_the_other(lengths: list[int]) -> None:
    layout = layout_of(lengths, [0] * len(lengths))
    vector = np.arange(parameter_count(layout), dtype=np.float64)

    seen = [
        part.reshape(-1)
        for k in range(1, len(lengths))
        for part in (weights(vector, layout, k), biases(vector, layout, k))
    ]

    assert np.concatenate([np.zeros(0), *seen]).tolist() == vector.tolist()
    for k in range(1, len(lengths)):
        assert weights(vector, layout, k).shape == (lengths[k], lengths[k - 1])
        assert biases(vector, layout, k).shape == (lengths[k],)


@given(lengths_of_layers, st.integers(1, 5), st.integers(0, 7))
def test_blocks_lie_one_after_the_other(lengths: list[int], samples: int, spare: int) -> None:
    layout = layout_of(lengths, [0] * len(lengths))
    workspace = np.arange(samples * unit_count(layout) + spare, dtype=np.float32)

    seen = [block(workspace, layout, k, samples) for k in range(len(lengths))]

    assert [each.shape for each in seen] == [(samples, n) for n in lengths]
    assert (
        np.concatenate([each.reshape(-1) for each in seen]).tolist()
        == workspace[: len(workspace) - spare].tolist()
    )


def test_they_are_views() -> None:
    layout = layout_of([2, 3], [0, 2])
    vector, workspace = np.zeros(9), np.zeros(10)

    weights(vector, layout, 1)[2, 1] = 1
    biases(vector, layout, 1)[0] = 2
    block(workspace, layout, 1, 2)[1, 2] = 3

    assert vector.tolist() == [0, 0, 0, 0, 0, 1, 2, 0, 0]
    assert workspace.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 3]


def test_activations_are_noted() -> None:
    assert layout_of([1, 1, 1], [0, 3, 4])[:, ACTIVATION].tolist() == [0, 3, 4]


def test_a_code_for_each_layer() -> None:
    with pytest.raises(ValueError, match="shorter"):
        layout_of([1, 1], [0])
