"""Normalizing flows: invertible maps with the logarithm of what they do to volume, and densities made of them."""
