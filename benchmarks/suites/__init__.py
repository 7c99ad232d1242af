"""How fast is one candidate today, and is it faster than in a saved run? Suites for pytest-benchmark."""
