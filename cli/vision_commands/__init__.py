"""The commands of ``rep-vision``, a module each."""
