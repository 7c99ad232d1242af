"""How are bytes laid out in a file? Safetensors, checked JSON, and atomic writes."""
