"""Who does the work? The candidates: typednn, C, JAX, ONNX Runtime, PyTorch, scikit-learn, NumPy."""
