"""A training on several ranks gives the result of one process with the data of all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.typednn.building import DTYPES, Dtype
from tests.typednn.processes.thread_ranks import ThreadRank, results, share
from typednn import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    Callback,
    Checkpoint,
    CosineDecay,
    EarlyStopping,
    GradientNorms,
    HiddenLayer,
    InputLayer,
    LayerNorm,
    Lion,
    Nadam,
    Network,
    NormalizationLayer,
    Optimizer,
    OutputLayer,
    ReduceOnPlateau,
    RMSprop,
    Rprop,
    Run,
    Steps,
)
from typednn.processes import averaged
from typednn.processes import fit as shared_fit

TOLERANCES = {np.float32: 1e-6, np.float64: 1e-13}
"""How far parameters and losses may be from those of one process after 60 steps, absolutely or relatively."""

SAMPLES, HELD, BATCH, EPOCHS = 90, 30, 16, 10
"""Ten epochs of six steps, the last of which is not full."""

OPTIMIZERS: list[Optimizer] = [
    SGD(0.1),
    SGD(0.05, momentum=0.9, nesterov=True, clip_norm=0.2),
    RMSprop(0.002, clip_value=0.01),
    Adagrad(0.02),
    Adam(CosineDecay(0.01, 50), clip_norm=0.1),
    AdamW(0.01, weight_decay=0.1),
    Nadam(0.005),
    Rprop(0.005),
    Lion(0.001),
    Adam(ReduceOnPlateau(0.005, patience=1)),
]
LAYERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "penalties": {"l1": 1e-3, "l2": 1e-2},
    "dropout": {"dropout": 0.4},
    "batch": {"normalization": "batch"},
    "layer": {"normalization": "layer", "dropout": 0.2},
    "batch and dropout": {"normalization": "batch", "dropout": 0.3},
    "unbiased batch": {"normalization": BatchNorm(1e-5, 0.9, unbiased=True)},
    "features": {"features": "batch"},
    "layer with biases": {"normalization": LayerNorm(1e-5, inner_bias=True)},
}

by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
both_paths = pytest.mark.usefixtures("path")
Data = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def data(dtype: Dtype, count: int = SAMPLES) -> Data:
    """Samples, labels of three classes, and weights."""
    rng = np.random.default_rng(7)
    x = rng.normal(0.3, 1.2, (count, 6))
    labels = (x[:, 0] > 0.5).astype(np.int64) + (x[:, 1] * x[:, 2] > 0)
    return x.astype(dtype), labels, rng.uniform(0.5, 2, count)


def network(dtype: Dtype, seed: int = 3, features: Any = None, **hidden: Any) -> Network[Any]:
    layers: list[Any] = [
        InputLayer(6),
        *([] if features is None else [NormalizationLayer(6, features, "tanh")]),
        HiddenLayer(12, "tanh", **hidden),
        HiddenLayer(7, "sigmoid", **hidden),
        OutputLayer(3, "softmax", "crossentropy"),
    ]
    return Network(layers, dtype=dtype, seed=seed)


def vector(trained: Network[Any]) -> NDArray[Any]:
    """Parameters, running means and variances."""
    return trained._storage.parameters


def check(
    size: int, dtype: Dtype, new: Callable[[], Network[Any]], train: Callable[[Network[Any], Any], Any]
) -> list[Network[Any]]:
    """Checks that ranks have the same bits, and but for rounding the result of one process."""
    reference = new()
    train(reference, None)

    def job(rank: ThreadRank) -> Network[Any]:
        mine = new()
        train(mine, rank)
        return mine

    found = results(size, job)
    for each in found:
        assert vector(each).tobytes() == vector(found[0]).tobytes()
        assert each.history.curves() == found[0].history.curves()
        assert each._random.bit_generator.state == reference._random.bit_generator.state
    np.testing.assert_allclose(
        vector(found[0]), vector(reference), rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype]
    )
    computed, expected = found[0].history.curves(), reference.history.curves()
    assert computed.keys() == expected.keys()
    for name, curve in computed.items():
        np.testing.assert_allclose(curve, expected[name], rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])
    return found


def rows_of(rank: ThreadRank | None, count: int) -> slice:
    return slice(count) if rank is None else share(count, rank.rank, rank.size)


@pytest.mark.once_per("optimizer", in_full=("optimizer", "hidden"))
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("hidden", LAYERS.values(), ids=list(LAYERS))
@by_dtype
@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("moved", [True, False])
@both_paths
def test_ranks_give_the_result_of_one_process(
    size: int,
    dtype: Dtype,
    hidden: dict[str, Any],
    optimizer: Optimizer,
    moved: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_fit, "MOVED_PARAMETERS", 0 if moved else 1 << 20)
    x, labels, weights = data(dtype)

    def train(mine: Network[Any], rank: Any) -> None:
        rows = rows_of(rank, SAMPLES)
        mine.fit(
            *(x[rows], labels[rows]),
            epochs=EPOCHS,
            batch_size=BATCH,
            optimizer=optimizer,
            sample_weight=weights[rows] if size == 4 else None,
            processes=rank,
        )

    check(size, dtype, lambda: network(dtype, **hidden), train)


@by_dtype
@both_paths
def test_validation_metrics_weights_and_early_stopping_are_those_of_all_samples(dtype: Dtype) -> None:
    x, labels, weights = data(dtype, SAMPLES + HELD)

    def train(mine: Network[Any], rank: Any) -> None:
        rows, held = rows_of(rank, SAMPLES), rows_of(rank, HELD)
        x_held, labels_held = x[SAMPLES:][held], labels[SAMPLES:][held]
        mine.fit(
            x[rows],
            labels[rows],
            epochs=40,
            optimizer=Adam(0.02),
            sample_weight=weights[rows],
            class_weight={0: 2.0},
            validation_data=(x_held, labels_held, weights[SAMPLES:][held]),
            metrics=["accuracy", "f1"],
            label_smoothing=0.1,
            callbacks=[EarlyStopping()],
            processes=rank,
        )

    [first, *_] = check(3, dtype, lambda: network(dtype, normalization="batch"), train)
    assert 1 < len(first.history.loss) < 40


@by_dtype
def test_a_validation_split_holds_out_the_end_of_all_samples(dtype: Dtype) -> None:
    x, labels, _ = data(dtype)

    def train(mine: Network[Any], rank: Any) -> None:
        rows = rows_of(rank, SAMPLES)
        mine.fit(x[rows], labels[rows], epochs=5, validation_split=0.6, metrics=["accuracy"], processes=rank)

    for size in (1, 2, 5):
        check(size, dtype, lambda: network(dtype), train)


@pytest.mark.parametrize("hidden", LAYERS.values(), ids=list(LAYERS))
@pytest.mark.parametrize("steps", [None, 7])
@both_paths
def test_a_step_has_the_batches_of_all_ranks(steps: int | None, hidden: dict[str, Any]) -> None:
    x, labels, weights = data(np.float64)
    batches = [(x[k : k + 11], labels[k : k + 11], weights[k : k + 11]) for k in range(0, SAMPLES - 11, 11)]

    def parts(rank: ThreadRank) -> list[Any]:
        """The first rank has no batches, the last ends one batch earlier where there is no number."""
        end = len(batches) - (steps is None and rank.rank == rank.size - 1)
        whole = batches[:end] if rank.rank else []
        return [tuple(each[rows_of_batch(rank, len(each))] for each in batch) for batch in whole]

    def rows_of_batch(rank: ThreadRank, count: int) -> slice:
        return slice(count // 3) if rank.rank == 1 else slice(count // 3, count)

    joined = list(batches)
    if steps is None:
        count = len(batches[-1][0]) // 3
        x_last, labels_last, weights_last = batches[-1]
        joined[-1] = (x_last[:count], labels_last[:count], weights_last[:count])

    def train(mine: Network[Any], rank: Any) -> None:
        mine.fit_batches(
            joined if rank is None else parts(rank),
            epochs=6,
            steps_per_epoch=steps,
            optimizer=Adam(0.01),
            processes=rank,
        )

    check(3, np.float64, lambda: network(np.float64, **hidden), train)


@pytest.mark.parametrize("hidden", [{}, {"normalization": "batch"}], ids=["plain", "batch"])
def test_there_is_one_sum_a_step_and_one_more_each_way_for_batch_normalisation(hidden: Any) -> None:
    x, labels, _ = data(np.float64)

    def sums(rank: ThreadRank, epochs: int, batch_size: int) -> int:
        rows = rows_of(rank, SAMPLES)
        mine = network(np.float64, **hidden)
        mine.fit(x[rows], labels[rows], epochs=epochs, batch_size=batch_size, processes=rank)
        return rank.sums

    few, many = (
        results(2, partial(sums, epochs=1, batch_size=batch_size))[0] for batch_size in (SAMPLES, BATCH)
    )

    assert many - few == (-(-SAMPLES // BATCH) - 1) * (1 + 2 * 2 * bool(hidden))


def test_samples_are_moved_unless_they_are_more_numbers_than_parameters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_fit, "MOVED_PARAMETERS", 0)
    x, labels, _ = data(np.float64)

    def sums(rank: ThreadRank, batch_size: int) -> int:
        rows = rows_of(rank, SAMPLES)
        network(np.float64).fit(
            x[rows], labels[rows], batch_size=batch_size, epochs=1, shuffle=False, processes=rank
        )
        return rank.sums

    few, many = (results(2, partial(sums, batch_size=batch_size))[0] for batch_size in (SAMPLES, BATCH))

    assert many - few == 2 * -(-SAMPLES // BATCH) - 1


@both_paths
def test_callbacks_see_the_gradient_of_the_whole_batch_and_stop_all_ranks() -> None:
    x, labels, _ = data(np.float64)

    class StopAt(Callback):
        def on_batch(self, run: Run) -> None:
            if run.global_step == 8:
                run.stop()

    def train(mine: Network[Any], rank: Any) -> None:
        rows = rows_of(rank, SAMPLES)
        norms = GradientNorms()
        stops = [StopAt()] if rank is None or rank.rank == 1 else []
        mine.fit(
            x[rows],
            labels[rows],
            epochs=EPOCHS,
            batch_size=BATCH,
            callbacks=[norms, *stops],
            processes=rank,
        )
        mine.history.loss.extend(value for epoch in norms.norms for value in epoch)

    check(3, np.float64, lambda: network(np.float64, normalization="batch", dropout=0.2), train)


def test_a_checkpoint_is_written_by_rank_0_and_resumed_by_all(tmp_path: Path) -> None:
    x, labels, _ = data(np.float64)
    path = tmp_path / "ranks.safetensors"

    def train(mine: Network[Any], rank: Any, epochs: int = 6, callbacks: Any = ()) -> None:
        rows = rows_of(rank, SAMPLES)
        mine.fit(
            x[rows], labels[rows], epochs=epochs, optimizer=Adam(0.01), processes=rank, callbacks=callbacks
        )

    def begun(rank: ThreadRank) -> None:
        train(network(np.float64, dropout=0.2), rank, 3, callbacks=[Checkpoint(path)])

    def resumed(mine: Network[Any], rank: Any) -> None:
        train(mine, rank, callbacks=[] if rank is None else [Checkpoint(path, resume=True)])

    results(2, begun)
    check(3, np.float64, lambda: network(np.float64, dropout=0.2), resumed)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_steps_go_on_on_several_ranks() -> None:
    x, labels, _ = data(np.float64)

    def train(mine: Network[Any], rank: Any) -> None:
        steps = Steps(mine, Adam(0.01))
        rows = rows_of(rank, SAMPLES)
        for _ in range(3):
            mine.fit(x[rows], labels[rows], epochs=2, optimizer=steps, processes=rank)

    check(2, np.float64, lambda: network(np.float64), train)


@by_dtype
@both_paths
def test_averaged_ranks_have_the_mean_of_their_parameters_by_samples(dtype: Dtype) -> None:
    x, labels, _ = data(dtype)
    size = 3

    def train(rank: ThreadRank) -> Network[Any]:
        rows = rows_of(rank, SAMPLES)
        mine = network(dtype, normalization="batch")
        mine.fit(x[rows], labels[rows], epochs=1, batch_size=8, processes=averaged(rank))
        return mine

    expected: NDArray[Any] = np.zeros(vector(network(dtype, normalization="batch")).shape)
    for rank in range(size):
        rows = share(SAMPLES, rank, size)
        if rows.stop > rows.start:
            alone = network(dtype, normalization="batch")
            alone.fit(x[rows], labels[rows], epochs=1, batch_size=8)
            expected += vector(alone) * ((rows.stop - rows.start) / SAMPLES)
    found = results(size, train)

    for each in found:
        assert vector(each).tobytes() == vector(found[0]).tobytes()
        assert each.history.curves() == found[0].history.curves()
        np.testing.assert_allclose(vector(each), expected, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])


def test_averaged_ranks_learn_and_decide_alike() -> None:
    x, labels, _ = data(np.float64)

    def train(rank: ThreadRank) -> Network[Any]:
        rows = rows_of(rank, SAMPLES)
        mine = network(np.float64)
        mine.fit(
            x[rows],
            labels[rows],
            epochs=60,
            batch_size=8,
            optimizer=Adam(CosineDecay(0.02, 300)),
            validation_split=0.2,
            callbacks=[EarlyStopping(patience=3)],
            processes=averaged(rank),
        )
        return mine

    found = results(4, train)

    losses = found[0].history.loss
    assert losses[-1] < 0.8 * losses[0]
    for each in found:
        assert vector(each).tobytes() == vector(found[0]).tobytes()
        assert each.history.curves() == found[0].history.curves()
