"""Trains whole networks: forward and backward passes, steps with mini-batches, steps with single samples."""
