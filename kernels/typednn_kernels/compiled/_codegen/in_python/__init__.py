"""Python in place of machine code."""
