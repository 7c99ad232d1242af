"""What typednn is compared with: C, JAX, ONNX Runtime, PyTorch, scikit-learn, textbook NumPy."""
