"""Turns data files into tables, and tables into arrays: readers, transforms of columns, and models."""
