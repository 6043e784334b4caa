"""Models beside each other on the same images with the same budget."""
