"""How well a network does: its loss, and accuracy or the coefficient of determination."""

from __future__ import annotations

import numpy as np
from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.losses import Loss

from typednn.records import Record
from typednn.training.batches import sides_in


class Evaluation(Record):
    """How well a network does on some samples.

    Attributes:
        loss: the mean loss.
        accuracy: the share of samples whose class is right (crossentropy and kl_divergence: the largest
            output; bincrossentropy and focal: every output on the right side of 0.5; hinge: of 0); None for
            other networks.
        r2: the coefficient of determination, averaged over outputs; None where accuracy is given. For
            constant targets, as in scikit-learn, 1 where all outputs are right, else 0.
    """

    loss: float
    accuracy: float | None
    r2: float | None


def evaluation(outputs: Matrix[F], t: Matrix[F], loss: float, row: Loss) -> Evaluation:
    """The evaluation of outputs beside targets t, `(n_samples, n_outputs)` both, given their mean loss."""
    if row.targets == "classes":
        right = outputs.argmax(axis=1) == t.argmax(axis=1)
        return Evaluation(loss, float(right.mean()), None)
    if row.targets != "numbers":
        right = (sides_in(outputs, row.boundary) == sides_in(t, row.boundary)).all(axis=1)
        return Evaluation(loss, float(right.mean()), None)
    residual = ((outputs - t) ** 2).sum(axis=0, dtype=np.float64)
    total = ((t - t.mean(axis=0)) ** 2).sum(axis=0, dtype=np.float64)
    r2: Vector[np.float64] = (residual == 0).astype(np.float64)
    np.divide(total - residual, total, out=r2, where=total > 0)
    return Evaluation(loss, None, float(r2.mean()))
