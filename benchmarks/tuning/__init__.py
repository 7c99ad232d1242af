"""Which values should the tuning thresholds of the compiled kernels have on this machine?"""
