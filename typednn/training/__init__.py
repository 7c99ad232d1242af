"""Trains networks: the loop over epochs, and its batches, optimisers, schedules, metrics and callbacks."""
