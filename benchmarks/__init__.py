"""What typednn costs beside NumPy, C, JAX, PyTorch, scikit-learn and ONNX Runtime.

The report, with tables of ratios, the targets beside them, and plots:

    python -m benchmarks [--quick] [--only kernels,online,doors,batches] [--output reports]

takes less than 15 minutes (`--quick`: 2) and wants the machine for itself; `make bench` runs it. Contestants
run in turns in one process, in an order drawn anew in each round, and ratios are medians over the rounds.

One comparison at a time, with pytest-benchmark:

    python -m pytest benchmarks/suites/bench_online.py -k "784-128-10 and float32"
    python -m pytest benchmarks/suites/bench_kernels.py -k "tanh and 1000000"

All that computes the same in short, without timing, as CI does:

    python -m pytest benchmarks/suites/bench_*.py --benchmark-disable -m short

Each comparison first asserts that all contestants compute the same from the same numbers: training ends with
the same parameters within 64 eps of the largest, kernels agree within 16 eps of the terms they add. Peers
that are not installed are left out, and the report says so.

- `networks`: the networks and their data, a row each; `kernel_cases`, `dense_cases`: the kernels.
- `ours`, `textbook`, `peers_*`: the contestants; `peers`: the list of them; `contests`: who meets whom.
- `numpy_tuned`: the elementwise kernels as well as NumPy allows.
- `timing`: interleaved runs; `machine`: its description and limits; `targets`: what is to be reached.
- `bench_*`: the suites of pytest-benchmark; `*_section`, `report`, `plots`: the report.
"""
