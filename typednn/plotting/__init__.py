"""How do pictures look? One style for all, and the learning curves of a training."""
