"""Multiplies matrices: gemm, gemv and rank-one updates for every shape that layers have."""
