"""Images as data: read from wherever they lie, decoded once, kept as bytes that are mapped into memory."""
