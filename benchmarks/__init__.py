"""Measures how fast typednn is beside NumPy, C, JAX, PyTorch, scikit-learn and ONNX Runtime.

`python -m benchmarks [--quick] [--only calls,online,api,…] [--output reports]` writes a
report with tables of ratios, the targets beside them, and plots. It takes less than 15 minutes (`--quick`: 2)
and needs an otherwise idle machine. The candidates of a comparison run in turns in one process, in a new
random order in each round; a ratio is the median over the rounds, of calls that of the shortest times.

`python -m benchmarks tune [--quick] [--only NAME,…]` measures the tuning thresholds of the compiled kernels
on this machine and prints them beside the values in the source.

pytest-benchmark runs the same comparisons one at a time, saves a run and compares a later one with it:

    python -m pytest benchmarks/suites/bench_online.py -k "2-2-1 and float32" --benchmark-save=before
    python -m pytest benchmarks/suites/bench_online.py -k "2-2-1 and float32" --benchmark-compare
    python -m pytest benchmarks/suites -m short --benchmark-disable

The last command checks that all candidates compute the same and times nothing; CI runs it.

Every comparison first asserts that its candidates agree: trained parameters differ by at most 64 eps of the
largest parameter, results of kernels by at most 16 eps of the terms that are added. Packages that are not
installed are left out, and the report says so.

Imports point down this list:

- `suites`, `report`, `tuning`: the pytest-benchmark suites, the report, and the thresholds;
- `cases`: which candidates are compared on what, and the check that they agree;
- `peers`: the candidates, typednn among them;
- `settings`, `machine`, `cold_start`: how long to measure, the limits of the machine, fresh processes;
- `networks`, `installed`, `timing`: what is trained, which packages are installed, interleaved timing.
"""
