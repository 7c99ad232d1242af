"""How do tables become arrays? Readers of CSV, npz and IDX files, and the preprocessing of their columns."""
