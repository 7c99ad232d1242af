"""Saves and loads models, and the checkpoints from which a training resumes."""
