"""Text and image features fused, for visual question answering: nothing is here yet.

Fusion, correlation analysis and visual question answering will live here; see the design page of the docs.
"""
