"""What a representation is worth, whatever it represents: instruments that take arrays and encoders."""
