"""Text and images together: features fused, views that correlate, questions about images and what answers them."""
