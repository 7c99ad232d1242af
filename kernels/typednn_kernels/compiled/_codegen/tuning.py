"""Tuning thresholds of the compiled kernels: value, unit, meaning, and how each is measured.

`python -m benchmarks tune` measures them on the machine where it runs; `benchmarks/tuning/thresholds.py`
holds the measurements. The values here were measured on x86-64 with AVX-512. A threshold changes speed, never
a result, except where its docstring says so. Facts about the machine, such as the size of a vector register,
are in `simd`. This module imports nothing of the package, so that the command can load it with other values
before any kernel is compiled.

A *grain* is the minimum amount of work per thread: work is divided between two threads from two grains on. It
is measured as half of the smallest work for which two threads are faster than one.
"""

from __future__ import annotations

from collections.abc import Mapping

# Loops over elements.

LOOP_SCALAR_ELEMENTS = 3
"""Elements, maximum that a loop computes one by one. A vector that is loaded right after its elements were
stored one by one waits for these stores. Measured: online training of 2-n-1, scalar against vector, by n."""

LOOP_BLOCK_ELEMENTS = 64
"""Elements by which a loop advances, a multiple of every vector length that LLVM may choose, so that nothing
is left after its last full vector. Not a threshold of speed."""

CHUNK_ELEMENTS = 4096
"""Elements that are summed without compensation; sums of chunks are added with compensation of the rounding
error. Another value changes the last bits of sums. Chosen for precision, not measured."""

LONG_ROW_ELEMENTS = 4 * CHUNK_ELEMENTS
"""Elements of a softmax row from which on the row is read as few times as possible, and divided between
threads. Another value changes the last bits of softmax. Measured: softmax of one row, both ways, by its
length."""

SCRATCH_ROW_ELEMENTS = 8192
"""Elements, maximum number of inputs of a layer whose upstream gradient two threads compute in halves, the
second in a row of its own. Another value changes the last bits of these gradients. Not measured."""

STACK_ROW_ELEMENTS = 1024
"""Elements of a row on the stack, by which longer rows are computed where there is no other memory. It bounds
the memory on the stack; not measured."""

GRAIN_ELEMENTS = 1 << 16
"""Elements, grain of elementwise kernels. Measured: tanh with one thread and with two, by size."""

# Rows that fit in vector registers.

SHORT_ROW_REGISTERS = 4
"""Vector registers, maximum that a row may fill for softmax and its loss to be computed in registers.
Measured: softmax of 64 rows, in registers against in loops, by their length."""

SHORT_VECTOR_REGISTERS = 2
"""Vector registers, maximum that a vector may fill for its activations to be computed in registers. Measured:
online training of 16-n-1, in registers against in loops, by n."""

SHORT_VECTOR_SCALAR_ELEMENTS = 2
"""Elements, maximum of a vector whose activations are computed one by one. Measured: online training of
2-n-1, in loops against in registers, by n."""

SHORT_GEMV_REGISTERS = 8
"""Vector registers, maximum that a row of W may fill for the products of one sample to keep it in registers.
Measured: online training of m-16-1, in registers against in loops, by m."""

SPECIALIZED_PARAMETER_REGISTERS = 64
"""Vector registers, maximum that all parameters of a network may fill for online training to compile a loop
for this network; beyond the 16 or 32 registers of the CPU some live on the stack. Measured: online training
of m-16-1, specialised loop against general kernel, by m."""

# Matrix-vector products, for one sample.

GEMV_ROWS = 4
"""Rows of W that one pass of a matrix-vector product reads. The code is written for four; not measured."""

GEMV_GRAIN_WEIGHTS = 1 << 17
"""Weights, grain of matrix-vector products. Measured: affine of one sample and square W with one thread and
with two, by the size of W."""

# Matrix products, for several samples: out (m, n) = x (m, k) y (k, n).

GEMM_NR_VECTORS = 3
"""Vectors, width of a tile of the result whose sums stay in registers. Another value may change which
elements a tile holds, never a result. Measured: GFLOP/s of a large product, by value."""

GEMM_MR_ROWS: Mapping[int, Mapping[int, tuple[int, ...]]] = {
    16: {1: (8, 2), 2: (4, 1), 3: (4, 1)},
    32: {1: (16, 4), 2: (8, 2), 3: (8, 2)},
}
"""Rows of a tile, then of the tiles for the rows that are left, the last of which may have fewer, by number
of registers of the CPU and width of the tile in vectors; powers of two. The sums take half to three quarters
of the registers, and enough of them are independent to hide the latency of a multiply-add. Measured: GFLOP/s
of a large product, by rows of the widest tile."""

GEMM_B_PANEL_BYTES = 24 << 10
"""Bytes of a panel of y, one tile wide, which must stay in the first-level cache; sets the depth KC of a pass
over k. Another value changes the last bits of products with k > KC. Measured: GFLOP/s of a large product, by
value."""

GEMM_A_BLOCK_BYTES = 256 << 10
"""Bytes of a packed block of x, which must stay in the second-level cache, for KC columns; KC and the rows of
the block must be multiples of the tallest tile and of the elements of a vector. Measured: GFLOP/s of a large
product, by value."""

GEMM_B_BLOCK_PANELS = 4
"""Panels of y that are packed at a time. Measured: GFLOP/s of a large product, by value."""

GEMM_PACK_MIN_BYTES = 1 << 15
"""Bytes of an operand from which on it may pay to pack it. Measured: product of 256 rows with a square y,
packed against read in place, by the size of y."""

GEMM_PACK_B_MIN_ROWS = 64
"""Rows of x from which on it pays to pack y. Measured: product with a y of 512 x 512, packed against read in
place, by m."""

GEMM_PACK_A_MIN_COLUMNS = 256
"""Columns of y from which on it pays to pack x. Measured: product with an x of 512 x 512, packed against read
in place, by n."""

GEMM_FEW_ROWS_RATIO = 4
"""Units of a layer for each sample, minimum from which on passes of the API pack the samples in place of W.
Not measured by `tune`: with it, predictions of 32 rows by 784-128-10 took 0.9 of the time."""

THREAD_TILE_ROWS = 48
"""Rows or columns in which a product is divided between threads, a multiple of the tiles of both dtypes. Not
measured by `tune`: with 16, batches of 784-128-10 by two threads took 1.3 times as long."""

GEMM_GRAIN_FMAS = 1 << 20
"""Multiply-adds, grain of matrix products. Measured: square product with one thread and with two, by its
side."""

# Online training, one sample per step.

ONLINE_GRAIN_WEIGHTS = 1 << 15
"""Weights of a layer, grain of online training. Measured: online training of s-s-1 with one thread and with
two, by s."""

ONLINE_MIN_CALL_WEIGHTS = 1 << 24
"""Weights of the widest layer times samples of a call, minimum for several threads: they have to be started.
Measured: online training of 256-256-1 with one thread and with two, by the number of samples."""

ONLINE_SPINS_BEFORE_SLEEP = 20000
"""Spins of a thread that waits for another in online training, before it sleeps; a step takes some µs.
Measured: time of a step with two threads, by value."""

# Training with mini-batches.

BATCH_MIN_STEP_FMAS = 1 << 22
"""Parameters times batch size, minimum for threads to divide the samples of a step. Measured: training of
s-s-10 with batches of 32, with one thread and with two, by s."""

BATCH_MIN_CALL_FMAS = 1 << 27
"""Parameters times samples of a call, minimum for threads to divide the samples of its steps: they have to be
started. Measured: training of 256-256-10 with batches of 64, with one thread and with two, by steps."""

BATCH_MIN_THREAD_SAMPLES = 2
"""Samples of a batch, minimum per thread. Measured: training of 512-512-10 with one thread and with two, by
batch size."""

# Threads that wait: they spin, then give way to other threads at each spin, then sleep.

SPINS_BEFORE_YIELD = 400
"""Spins before a waiting thread gives way to others at each spin. Measured: time of a training step with
mini-batches and two threads, by value."""

SPINS_BEFORE_SLEEP = 1000
"""Spins before a waiting thread sleeps. Measured: time of a training step with mini-batches and two threads,
by value."""

WORKER_SPINS_BEFORE_SLEEP = 5000
"""Spins of an idle worker, about 0.5 ms, before it sleeps; it takes 50 µs to wake. Measured: time of tanh of
2^18 elements with two threads, called again and again from Python, by value."""

WORKER_IDLE_TIMEOUT_S = 1
"""Seconds that an idle worker sleeps before its thread ends. It frees resources; not measured."""
