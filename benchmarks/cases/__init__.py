"""What is measured: networks, kernels, and the data for them."""
