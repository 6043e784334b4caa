"""The one training loop, `nlprep.core.training.loop.fit`, and what it is given: steps, examples, settings."""
