"""One optimiser step: what is trained and its losses, over parts of a batch and over processes."""
