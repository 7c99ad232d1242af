"""What is a whole network? `Network`, its forward and backward passes, its predictor."""
