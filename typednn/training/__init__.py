"""How are parameters learnt? Batches, optimisers, schedules, metrics, callbacks, and their loop."""
