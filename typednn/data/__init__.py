"""Turns tables into arrays: readers of CSV, npz and IDX files, and the preprocessing of their columns."""
