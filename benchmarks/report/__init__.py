"""How do the candidates compare, and which targets are met? The report of `python -m benchmarks`."""
