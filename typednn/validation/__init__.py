"""Checks the arrays and settings that users pass in, once, before anything changes."""
