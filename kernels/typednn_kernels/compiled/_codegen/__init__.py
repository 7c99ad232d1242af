"""How does Python become machine code? numba and llvmlite, configured, extended and guarded."""
