"""Networks that make features of images, without a word on what they are trained for."""
