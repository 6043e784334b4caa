"""What a label says besides which class it is."""

IGNORED = -100
"""The label of what no loss is taken of, as torch has it."""
