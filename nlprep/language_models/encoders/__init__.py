"""Texts to vectors: encoders, how they are trained by contrast, and how they are probed."""
