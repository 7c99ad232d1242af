"""General matrix multiplication (BLAS gemm), written in LLVM.

C = alpha op(A) op(B) + bias, or + C, where op is the matrix or its transpose. The result is computed in
panels of a few vectors, by microkernels: tiles of MR rows whose sums stay in registers, to which each step
adds the product of a column of A and a row of B. A panel of B is read for every tile: where that pays it is
copied to a buffer first, and B^T always is. So is a block of A, which is read once for every panel of B.

Source: Goto & van de Geijn (2008), Anatomy of high-performance matrix multiplication, ACM TOMS 34 (3),
sections 4 and 5; blocks and strides are named as in BLIS: Van Zee & van de Geijn (2015), ACM TOMS 41 (3).

Each element of C is a sum of products in their order, about KC of them at a time. So its bits do not depend
on the ranges of rows and columns into which C is divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple

import numpy as np
from llvmlite import ir as llvm

from typednn_kernels.arrays import F, Matrix, Vector
from typednn_kernels.compiled._codegen.array_views import slice_of
from typednn_kernels.compiled._codegen.ir_loops import HAS_MASKED_VECTORS
from typednn_kernels.compiled._codegen.ir_types import INDEX, NULL, POINTER
from typednn_kernels.compiled._codegen.jit import inline, noinline
from typednn_kernels.compiled._codegen.simd import (
    REGISTERS,
    VECTOR_BYTES,
    SimdBuilder,
    function_of_fields,
    module_function,
)
from typednn_kernels.compiled._codegen.small_stacks import allocate, release
from typednn_kernels.compiled._codegen.tuning import (
    GEMM_A_BLOCK_BYTES,
    GEMM_B_BLOCK_PANELS,
    GEMM_B_PANEL_BYTES,
    GEMM_GRAIN_FMAS,
    GEMM_MR_ROWS,
    GEMM_NR_VECTORS,
    GEMM_PACK_A_MIN_COLUMNS,
    GEMM_PACK_B_MIN_ROWS,
    GEMM_PACK_MIN_BYTES,
    THREAD_TILE_ROWS,
)
from typednn_kernels.compiled.linalg.gemm_packing import _pack_panels
from typednn_kernels.compiled.parallel.thread_pool import parallel_for

MR = GEMM_MR_ROWS[REGISTERS]
KC = GEMM_B_PANEL_BYTES // (GEMM_NR_VECTORS * VECTOR_BYTES)
"""Products that are summed before they are added to C: a panel of B (KC, NR) fits the first-level cache."""

REST = KC // 8
"""The largest number of products left over that are summed with the KC before them: a pass less over C."""


class MatrixOperand(NamedTuple, Generic[F]):
    """A matrix, or its transpose if `trans`, by rows `ld` elements apart in a flat array (BLAS lda)."""

    data: Vector[F]
    ld: int
    trans: bool


class Gemm(NamedTuple, Generic[F]):
    """C (m, n) = alpha op(A) (m, k) op(B) (k, n) + bias (n,); k > 0.

    The rows of C lie `ldc` elements apart. An empty bias counts as none; with `accumulate` the product is
    added to C instead.
    """

    m: int
    n: int
    k: int
    A: MatrixOperand[F]
    B: MatrixOperand[F]
    bias: Vector[F]
    alpha: F
    accumulate: bool
    C: Vector[F]
    ldc: int


class _Gemm(NamedTuple):
    """The arguments of the function that multiplies in one thread; a null `bias` is none."""

    m: llvm.Value
    n: llvm.Value
    k: llvm.Value
    a: llvm.Value
    lda: llvm.Value
    trans_a: llvm.Value
    b: llvm.Value
    ldb: llvm.Value
    trans_b: llvm.Value
    bias: llvm.Value
    alpha: llvm.Value
    accumulate: llvm.Value
    c: llvm.Value
    ldc: llvm.Value


class _Macrokernel(NamedTuple):
    """The arguments of C (m, n) = base + alpha A (m, k) op(B) (k, n), where k <= KC + REST.

    BLIS's strides: `rs_` and `cs_` of rows and columns, `ps_` of packed panels, in elements. `packed` has
    room for `nc` columns of B.
    """

    m: llvm.Value
    n: llvm.Value
    k: llvm.Value
    a: llvm.Value
    ps_a: llvm.Value
    rs_a: llvm.Value
    cs_a: llvm.Value
    b: llvm.Value
    ldb: llvm.Value
    trans_b: llvm.Value
    pack_b: llvm.Value
    alpha: llvm.Value
    base: llvm.Value
    rs_base: llvm.Value
    cs_base: llvm.Value
    c: llvm.Value
    ldc: llvm.Value
    packed: llvm.Value
    nc: llvm.Value


class _Microkernel(NamedTuple):
    """The arguments of C (m, n) = base + alpha A (m, k) B (k, n), where a row of B is a few vectors."""

    m: llvm.Value
    n: llvm.Value
    k: llvm.Value
    a: llvm.Value
    ps_a: llvm.Value
    rs_a: llvm.Value
    cs_a: llvm.Value
    b: llvm.Value
    rs_b: llvm.Value
    alpha: llvm.Value
    base: llvm.Value
    rs_base: llvm.Value
    c: llvm.Value
    ldc: llvm.Value


def _write_gemm(code: SimdBuilder, *values: llvm.Value) -> None:
    """Writes the loops over blocks of MC rows and KC products."""
    builder, module, one, g = code.builder, code.builder.module, INDEX(1), _Gemm(*values)
    mc, panel_rows = GEMM_A_BLOCK_BYTES // (KC * code.itemsize), _panel_rows(code)
    nr, depth = GEMM_NR_VECTORS * code.lanes, KC + REST
    panel = code.alloca(nr * depth)
    zeros = llvm.GlobalVariable(
        module, llvm.ArrayType(code.real, GEMM_NR_VECTORS * code.lanes), f"typednn.zeros.{code.real}"
    )
    zeros.linkage, zeros.initializer = "internal", llvm.Constant(zeros.value_type, None)
    zeros.global_constant = True
    macrokernel = module_function(module, "macrokernel", code.real, "iiipiiipibbrpiipipi", _write_macrokernel)
    has_bias = builder.icmp_unsigned("!=", g.bias, llvm.Constant(POINTER, None))
    bias, cs_bias = builder.select(has_bias, g.bias, zeros), builder.zext(has_bias, INDEX)
    rs_a, cs_a = builder.select(g.trans_a, one, g.lda), builder.select(g.trans_a, g.lda, one)

    def pays(size: llvm.Value, uses: llvm.Value, min_uses: int) -> llvm.Value:
        min_elements = INDEX(GEMM_PACK_MIN_BYTES // code.itemsize)
        large = builder.icmp_signed(">=", code.product(size, g.k), min_elements)
        return builder.and_(large, builder.icmp_signed(">=", uses, INDEX(min_uses)))

    pack_a, pack_b = pays(g.m, g.n, GEMM_PACK_A_MIN_COLUMNS), pays(g.n, g.m, GEMM_PACK_B_MIN_ROWS)
    # Without memory for more, A stays where it is, and B is packed panel by panel: the results are the same.
    before = builder.block
    with builder.if_then(builder.or_(pack_a, pack_b)):
        memory = allocate(builder, INDEX((mc + GEMM_B_BLOCK_PANELS * nr) * depth * code.itemsize))
        inside = builder.block
    packed = builder.phi(POINTER)
    packed.add_incoming(NULL, before)
    packed.add_incoming(memory, inside)
    has_memory = builder.icmp_unsigned("!=", packed, NULL)
    pack_a = builder.and_(pack_a, has_memory)
    packed_b = builder.select(has_memory, code.at(packed, mc * depth), panel)
    nc = builder.select(has_memory, INDEX(GEMM_B_BLOCK_PANELS * nr), INDEX(nr))
    stop = builder.sub(g.k, code.smaller(builder.sub(g.k, one), REST))

    def rows_block(i: llvm.Value) -> None:
        m = code.smaller(builder.sub(g.m, i), mc)

        def products_block(p: llvm.Value) -> None:
            k = builder.sub(g.k, p)
            k = builder.select(builder.icmp_signed("<", builder.add(p, INDEX(KC)), stop), INDEX(KC), k)
            a, c = code.at(g.a, (i, rs_a), (p, cs_a)), code.at(g.c, (i, g.ldc))

            def pack_panel(r: llvm.Value) -> None:
                height, source = code.smaller(builder.sub(m, r), panel_rows), code.at(a, (r, rs_a))
                target, trans = code.at(packed, (r, k)), builder.not_(g.trans_a)
                _pack_panels(code, height, k, source, g.lda, trans, target, INDEX(panel_rows))

            with builder.if_then(pack_a):
                code.repeat(0, m, panel_rows, pack_panel)
            first = builder.and_(builder.icmp_signed("==", p, INDEX(0)), builder.not_(g.accumulate))
            arguments = _Macrokernel(
                *(m, g.n, k),
                a=builder.select(pack_a, packed, a),
                ps_a=builder.select(pack_a, k, rs_a),
                rs_a=builder.select(pack_a, one, rs_a),
                cs_a=builder.select(pack_a, INDEX(panel_rows), cs_a),
                b=builder.select(g.trans_b, code.at(g.b, p), code.at(g.b, (p, g.ldb))),
                ldb=g.ldb,
                trans_b=g.trans_b,
                pack_b=pack_b,
                alpha=g.alpha,
                base=builder.select(first, bias, c),
                rs_base=builder.select(first, INDEX(0), g.ldc),
                cs_base=builder.select(first, cs_bias, one),
                c=c,
                ldc=g.ldc,
                packed=packed_b,
                nc=nc,
            )
            builder.call(macrokernel, arguments)

        code.repeat(0, stop, KC, products_block)

    code.repeat(0, g.m, mc, rows_block)
    release(builder, packed)


def _panel_rows(code: SimdBuilder) -> int:
    """Returns the rows of a packed panel of A: whole vectors, and whole tiles."""
    return max(code.lanes, *(rows[0] for rows in MR.values()))


def _write_macrokernel(code: SimdBuilder, *values: llvm.Value) -> None:
    """Writes the loops over blocks of NC columns, and over the panels of each."""
    builder, g, nr = code.builder, _Macrokernel(*values), GEMM_NR_VECTORS * code.lanes
    microkernels = [
        module_function(
            builder.module, f"microkernel{vectors}", code.real, "iiipiiipirpipi", _microkernel_of(vectors)
        )
        for vectors in range(1, GEMM_NR_VECTORS + 1)
    ]

    def columns_block(j: llvm.Value) -> None:
        n = code.smaller(builder.sub(g.n, j), g.nc)
        b = builder.select(g.trans_b, code.at(g.b, (j, g.ldb)), code.at(g.b, j))
        # Rows that end within a vector: the narrowest microkernel reads them with a mask, others packed.
        ragged = builder.icmp_signed("!=", n, code.round_down(n, code.lanes))
        if HAS_MASKED_VECTORS:
            ragged = builder.and_(ragged, builder.icmp_signed(">", n, INDEX(code.lanes)))
        pack = builder.or_(g.trans_b, builder.or_(ragged, g.pack_b))
        with builder.if_then(pack):
            _pack_panels(code, n, g.k, b, g.ldb, g.trans_b, g.packed, INDEX(nr))

        def panel(first: llvm.Value) -> None:
            width, column = code.smaller(builder.sub(n, first), nr), builder.add(j, first)
            arguments = _Microkernel(
                *(g.m, width, g.k),
                *(g.a, g.ps_a, g.rs_a, g.cs_a),
                b=builder.select(pack, code.at(g.packed, (first, g.k)), code.at(b, first)),
                rs_b=builder.select(pack, INDEX(nr), g.ldb),
                alpha=g.alpha,
                base=code.at(g.base, (column, g.cs_base)),
                rs_base=g.rs_base,
                c=code.at(g.c, column),
                ldc=g.ldc,
            )
            after = builder.append_basic_block("after")
            choice = builder.switch(code.blocks(width, code.lanes), after)
            for vectors, function in enumerate(microkernels, 1):
                case = builder.append_basic_block("case")
                choice.add_case(vectors, case)
                builder.position_at_end(case)
                builder.call(function, arguments)
                builder.branch(after)
            builder.position_at_end(after)

        code.repeat(0, n, nr, panel)

    code.repeat(0, g.n, g.nc, columns_block)


def _microkernel_of(vectors: int) -> Callable[..., None]:
    """Returns a function that writes the tiles of a panel whose rows are that number of vectors."""

    def write(code: SimdBuilder, *values: llvm.Value) -> None:
        builder, lanes, g, panel_rows = code.builder, code.lanes, _Microkernel(*values), _panel_rows(code)
        full = builder.icmp_signed("==", g.n, INDEX(vectors * lanes))
        tail = code.mask(builder.sub(g.n, INDEX((vectors - 1) * lanes)), lanes)
        alpha = code.splat(g.alpha, code.vector)
        masks = [tail] if vectors == 1 and HAS_MASKED_VECTORS else [None] * vectors

        def tile(mr: int, i: llvm.Value) -> None:
            panel, last_row = code.round_down(i, panel_rows), builder.sub(builder.sub(g.m, INDEX(1)), i)
            a = code.at(g.a, (panel, g.ps_a), (builder.sub(i, panel), g.rs_a))
            # A tile that is too tall has its last row several times.
            places = [
                INDEX(r) if mr != MR[vectors][-1] else code.smaller(INDEX(r), last_row) for r in range(mr)
            ]
            rows = [code.at(a, (r, g.rs_a)) for r in places]

            def step(p: llvm.Value, *sums: llvm.Value) -> Sequence[llvm.Value]:
                b = [code.load(code.at(g.b, (p, g.rs_b), v * lanes), mask=masks[v]) for v in range(vectors)]
                column = [builder.load(code.at(row, (p, g.cs_a)), typ=code.real) for row in rows]
                pairs = [(code.splat(x, code.vector), y) for x in column for y in b]
                return [code.multiply_add(*pair, total) for pair, total in zip(pairs, sums, strict=True)]

            targets = [
                code.at(g.c, (i, g.ldc), (r, g.ldc), v * lanes) for r in places for v in range(vectors)
            ]
            for target in targets:
                code.prefetch(target)
            zeros = [llvm.Constant(code.vector, None)] * mr * vectors
            sums = code.repeat(0, g.k, 1, step, *zeros)

            def finish(last: llvm.Value | None) -> None:
                masks = ([None] * (vectors - 1) + [last]) * mr
                bases = [
                    code.at(g.base, (i, g.rs_base), (r, g.rs_base), v * lanes)
                    for r in places
                    for v in range(vectors)
                ]
                results = [
                    code.multiply_add(alpha, total, code.load(base, mask=mask))
                    for total, base, mask in zip(sums, bases, masks, strict=True)
                ]
                for result, target, mask in zip(results, targets, masks, strict=True):
                    code.store(result, target, mask)

            if HAS_MASKED_VECTORS:
                finish(tail)
            else:
                with builder.if_else(full) as (yes, no):
                    with yes:
                        finish(None)
                    with no:
                        finish(tail)

        done: llvm.Value = INDEX(0)
        for mr in MR[vectors]:
            stop = g.m if mr == MR[vectors][-1] else code.round_down(g.m, mr)
            code.repeat(done, stop, mr, partial(tile, mr))
            done = stop

    return write


def _matrix(array: Vector[F], rows: int, columns: int, ld: int, *, trans: bool = False) -> Matrix[F]:
    shape, strides = (rows, columns), (ld * array.itemsize, array.itemsize)
    if trans:
        strides = strides[::-1]
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def _gemm_in_numpy(product: Gemm[F]) -> None:
    m, n, k, (A, lda, trans_a), (B, ldb, trans_b), bias, alpha, accumulate, C, ldc = product
    factors = _matrix(A, m, k, lda, trans=trans_a), _matrix(B, k, n, ldb, trans=trans_b)
    result = _matrix(C, m, n, ldc)
    base = result if accumulate else bias[:n] if bias.size else 0
    with np.errstate(all="ignore"):
        np.add(alpha * np.matmul(*factors), base, out=result)


gemm_serial: Callable[..., None] = function_of_fields("gemm", "iiipibpibprbpi", _write_gemm, _gemm_in_numpy)
"""`gemm_serial(product)`: computes a product in the calling thread."""


@noinline
def gemm_range(part: int, start: int, stop: int, product: Gemm[F]) -> None:
    """Computes some blocks of `THREAD_TILE_ROWS` rows of C, or of columns if it has more of these."""
    m, n, k, A, B, bias, alpha, accumulate, C, ldc = product
    first, stop = start * THREAD_TILE_ROWS, min(stop * THREAD_TILE_ROWS, max(m, n))
    count = stop - first
    if m >= n:
        offset = first if A.trans else first * A.ld
        A_rows = MatrixOperand(slice_of(A.data, offset, A.data.size - offset), A.ld, A.trans)
        C_rows = slice_of(C, first * ldc, count * ldc)
        gemm_serial(Gemm(count, n, k, A_rows, B, bias, alpha, accumulate, C_rows, ldc))
    else:
        offset = first * B.ld if B.trans else first
        B_columns = MatrixOperand(slice_of(B.data, offset, B.data.size - offset), B.ld, B.trans)
        bias_columns = slice_of(bias, first, min(count, bias.size))
        C_columns = slice_of(C, first, C.size - first)
        gemm_serial(Gemm(m, count, k, A, B_columns, bias_columns, alpha, accumulate, C_columns, ldc))


parallel_gemm: Callable[..., int] = parallel_for(gemm_range)


@inline
def gemm(product: Gemm[F], parallel: bool) -> None:
    """Computes a product; other threads help with a large one if it is to be done in `parallel`."""
    m, n, k = product.m, product.n, product.k
    blocks: int = (max(m, n) + THREAD_TILE_ROWS - 1) // THREAD_TILE_ROWS
    if parallel:
        parallel_gemm(blocks, 1 + GEMM_GRAIN_FMAS * blocks // (m * n * k), product)
    else:
        gemm_range(0, 0, blocks, product)
