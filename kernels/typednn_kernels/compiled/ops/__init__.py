"""Computes what is no matrix product: activations, losses, normalisations, optimizer steps."""
