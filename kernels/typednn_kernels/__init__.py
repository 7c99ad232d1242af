"""Computes all arithmetic of typednn, on arrays and integer codes; it knows no layers."""
