"""Draws the learning curves of a training, in the one style that all pictures have."""
