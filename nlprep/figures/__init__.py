"""Pictures of results: files, style, and the kinds of figures that all parts of the project draw."""
