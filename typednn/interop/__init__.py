"""Weights from and to PyTorch, Keras and scikit-learn, exactly or not at all; networks as C."""
