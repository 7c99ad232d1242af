"""Where the samples of an epoch come from: arrays, which give all of them, or an iterable of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, runtime_checkable

import numpy as np
from typednn_kernels.arrays import F

from typednn.errors import ArrayTypeError, DataError, SettingError
from typednn.training.samples import Batch, CheckedSamples, ClassWeights, SampleFormat, weights_of


class ArraySource(Generic[F]):
    """Yields all samples in each epoch.

    Attributes:
        shuffled: whether each epoch has an order of its own.
    """

    samples: CheckedSamples[F]
    shuffled: bool

    def __init__(self, samples: CheckedSamples[F], shuffled: bool) -> None:
        self.samples, self.shuffled = samples, shuffled
        self.length: int | None = len(samples)

    def epoch(self, number: int) -> Iterator[CheckedSamples[F]]:
        """Yields the samples."""
        yield self.samples


@runtime_checkable
class Resumable(Protocol):
    """An iterable of batches that can begin anywhere without reading what comes before.

    Its length is the number of batches of an iteration.
    """

    def __len__(self) -> int: ...

    def after(self, count: int) -> Iterator[Any]:
        """Yields the batches that follow the first `count` of all iterations, to the end of an iteration."""
        ...


class BatchSource(Generic[F]):
    """Yields the batches of an iterable.

    Without `steps`, an epoch is one iteration over the iterable. With it, an epoch is that number of batches,
    the next epoch continues with those that follow, and a resumed training skips those it has had.

    Attributes:
        consumed: the number of batches that were taken.
        may_be_empty: whether there may be no batch at all, as on one of several ranks.
    """

    shuffled = False
    batches: Iterable[Batch[F]]
    steps: int | None
    format: SampleFormat[F]
    class_weight: ClassWeights | None
    consumed: int
    may_be_empty: bool

    def __init__(
        self,
        batches: Iterable[Batch[F]],
        steps: int | None,
        sample_format: SampleFormat[F],
        class_weight: ClassWeights | None,
    ) -> None:
        if not isinstance(batches, Iterable) or getattr(batches, "ndim", 1) == 0:
            raise ArrayTypeError(
                f"Network: batches must be an iterable of batches, not {type(batches).__name__}"
            )
        if isinstance(class_weight, str) and class_weight == "balanced":
            raise SettingError(
                'Network: class_weight="balanced" needs all labels, and batches come one after the other; '
                "give a mapping from labels to weights"
            )
        if class_weight is not None:
            sample_format.class_factors(class_weight, np.zeros(0, np.intp))
        self.batches, self.steps = batches, steps
        self.format, self.class_weight = sample_format, class_weight
        self.length: int | None = None
        self.iterator: Iterator[Batch[F]] | None = None
        self.consumed, self.may_be_empty = 0, False

    def epoch(self, number: int) -> Iterator[CheckedSamples[F]]:
        """Yields the batches of an epoch.

        Raises:
            ShapeError, ArrayTypeError, DataError: a batch does not fit, or there are too few batches.
        """
        if isinstance(self.batches, Resumable):
            self.consumed = number * (len(self.batches) if self.steps is None else self.steps)
            self.iterator = None
        if self.steps is None or self.iterator is None:
            self.iterator = self._iterate()
        while self.steps is not None and self.consumed < number * self.steps and self._next(number, 0):
            pass
        step = 0
        while self.steps is None or step < self.steps:
            batch = self._next(number, step)
            if not batch:
                break
            step += 1
            yield self._samples(batch[0], f"batch {step} of epoch {number + 1}")

    def _iterate(self) -> Iterator[Batch[F]]:
        """Begins an iteration, where possible after the batches that were consumed."""
        return (
            self.batches.after(self.consumed) if isinstance(self.batches, Resumable) else iter(self.batches)
        )

    def _next(self, number: int, step: int) -> list[Batch[F]]:
        """Returns a list of the next batch, which is empty at the end of an epoch that is one iteration."""
        for _ in range(2):
            if self.iterator is None:
                self.iterator = self._iterate()
            for batch in self.iterator:
                self.consumed += 1
                return [batch]
            again = self.iterator is not self.batches and self.steps is not None and self.consumed > 0
            if not again:
                break
            self.iterator = None
        if self.may_be_empty and self.consumed == 0:
            return []
        if self.steps is not None:
            raise DataError(
                f"Network: the batches ended after {step} of the {self.steps} steps of epoch {number + 1}"
            )
        if step == 0:
            hint = "; an iterator gives its batches once, a list or a class with __iter__ again and again"
            raise DataError(f"Network: there are no batches in epoch {number + 1}" + hint * (number > 0))
        return []

    def _samples(self, batch: Batch[F], owner: str) -> CheckedSamples[F]:
        if not isinstance(batch, tuple) or len(batch) not in {2, 3}:
            raise ArrayTypeError(
                f"{owner}: must be a tuple (x, y) or (x, y, sample_weight), not {type(batch).__name__}"
                + (f" of {len(batch)}" if isinstance(batch, tuple) else "")
            )
        return self.format.samples(batch[0], batch[1], weights_of(batch), self.class_weight, owner)
