"""What makes one vector of a text's features and an image's: one module a family, its formula and source with it."""
