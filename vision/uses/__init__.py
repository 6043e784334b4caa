"""What learned encoders of images are used for."""
