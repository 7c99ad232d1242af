"""Lays out bytes in files: safetensors, checked JSON, and atomic writes."""
