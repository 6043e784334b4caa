"""Text on its way to a model: documents, tokenizers, token files, packed blocks, labelled texts."""
