"""Measures which values the tuning thresholds of the compiled kernels should have on this machine."""
