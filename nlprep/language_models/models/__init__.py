"""The models themselves: their shapes, files, attention and cross-entropy."""
