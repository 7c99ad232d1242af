"""Makes a network of layers: `Network`, its forward and backward passes, and its predictor."""
