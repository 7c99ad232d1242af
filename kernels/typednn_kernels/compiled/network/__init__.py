"""How is a whole network trained? Passes, mini-batch steps, steps for single samples."""
