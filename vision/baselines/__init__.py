"""Encoders that lectures begin with, under the same contract: what a network must beat. None of them loads torch."""
