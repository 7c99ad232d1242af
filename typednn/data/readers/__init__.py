"""Reads files: delimited text, Parquet, Arrow, NumPy's and IDX, also compressed ones."""
