"""The arithmetic of typednn: arrays in, arrays out."""
