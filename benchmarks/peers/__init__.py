"""Runs each candidate's work: typednn, C, JAX, ONNX Runtime, PyTorch, scikit-learn, NumPy."""
