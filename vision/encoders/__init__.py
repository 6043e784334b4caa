"""Images to vectors: models that were trained, pretrained ones, and the pixels themselves to compare them with."""
