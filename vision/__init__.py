"""Image encoders learned without labels, from a folder of images to a representation and what it is worth."""
