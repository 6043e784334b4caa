"""Aligning the word vectors of two languages, and translating with the result."""
