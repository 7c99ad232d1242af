"""What is saved, and how is it loaded again? Models and checkpoints."""
