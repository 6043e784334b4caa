"""Image encoders learned without labels: nothing is here yet.

Autoencoders, normalizing flows, contrastive and pretext encoders will live here; see the design page of the docs.
"""
