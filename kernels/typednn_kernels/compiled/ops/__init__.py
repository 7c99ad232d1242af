"""What does one layer compute, element by element? Activations, losses, normalisations, optimizer steps."""
