"""Arrays of vectors, whatever they stand for: exact search, CSLS, normalisation, and the linear algebra of maps."""
