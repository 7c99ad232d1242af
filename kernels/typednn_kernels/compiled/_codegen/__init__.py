"""Turns Python into machine code, with numba and llvmlite configured, extended and guarded."""
