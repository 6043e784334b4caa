"""What is learned from images without labels: one module a model, its objective, formula and source with it."""
