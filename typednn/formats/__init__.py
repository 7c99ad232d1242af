"""Lays out bytes in files: safetensors, checked JSON, atomic writes and temporary files."""
