"""Times each candidate with pytest-benchmark, which compares it with a saved run."""
