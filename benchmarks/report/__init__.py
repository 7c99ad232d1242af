"""The sections of the report that `python -m benchmarks` writes."""
