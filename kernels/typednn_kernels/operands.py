"""Named tuples of arrays and integers that the kernels of whole networks take.

`B` samples of a batch are rows, `n` units of a layer are columns; `typednn_kernels.layout` says where the
arrays of each layer lie in the flat vectors.
"""

from __future__ import annotations

from typing import Generic, NamedTuple

from typednn_kernels.arrays import F, Matrix, Order, Ranges, Vector

ENDLESS = 2**62
"""The length of an epoch of which all samples are trained at once, or of which a part ends nowhere else."""


class Workspace(NamedTuple, Generic[F]):
    """Holds what a forward and a backward pass compute, all layers in one vector each.

    Attributes:
        a: pre-activations, at least `B * units` elements, then what normalised layers keep.
        h: activations, `B * units`.
        dLdh: gradients of the loss with respect to the activations, `B * units`; of the output layer, dLdy.
        dLda: deltas, as many elements as `a`.
    """

    a: Vector[F]
    h: Vector[F]
    dLdh: Vector[F]
    dLda: Vector[F]


class Epoch(NamedTuple, Generic[F]):
    """Says which samples are trained, in which order and batches, and holds the loss of each.

    Attributes:
        x: inputs, `(n_samples, n_inputs)`.
        t: targets, `(n_samples, n_outputs)`.
        sample_weights: a factor of the loss of each sample, `(n_samples,)`, or `(0,)` for none.
        order: the rows of x that are trained, `(n_trained,)`.
        batch_size: samples per step; the last step takes what is left.
        losses: where the loss of each trained sample before its step is written, `(n_trained,)`.
        length: samples after which an epoch ends, and with it a batch that is not full; several epochs may
            be trained at once.
    """

    x: Matrix[F]
    t: Matrix[F]
    sample_weights: Vector[F]
    order: Order
    batch_size: int
    losses: Vector[F]
    length: int = ENDLESS


class OptimizerSteps(NamedTuple, Generic[F]):
    """Says how the next steps change the parameters, and holds what their rule remembers.

    Attributes:
        rule: code, the place in the table of `update_rules`.
        coefficients: `(n_steps, COEFFICIENTS)`, a row for each step.
        ranges: the parts of the parameters that are trained, `(n_ranges, 2)`.
        penalties: L1 and L2 of each range, `(n_ranges, 2)`.
        states: what the rule remembers for each parameter, `(n_states, n_parameters)`.
    """

    rule: int
    coefficients: Matrix[F]
    ranges: Ranges
    penalties: Matrix[F]
    states: Matrix[F]


class Rows(NamedTuple):
    """A range of the samples of a batch: `height` rows from `first` on, of all `samples`."""

    samples: int
    first: int
    height: int


class Block(NamedTuple):
    """A range of samples of a batch and of units of a layer: `width` units from `unit` on."""

    rows: Rows
    unit: int
    width: int


class Thread(NamedTuple):
    """A thread of a team: its number from 0 on, how many there are, and the address of their barrier."""

    thread_num: int
    num_threads: int
    team: int
