"""pytest-benchmark suites: `pytest benchmarks` runs them."""
