"""Defines which candidates are compared on what, and checks that all compute the same."""
