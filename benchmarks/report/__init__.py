"""Writes the report of `python -m benchmarks`: how the candidates compare, and which targets are met."""
