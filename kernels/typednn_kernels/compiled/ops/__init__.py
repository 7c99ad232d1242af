"""Computes what is no matrix product: activations, losses, normalisations, optimiser steps."""
