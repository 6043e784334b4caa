"""The commands of ``rep-vision``, one module each: a function of its name, and its ``EPILOG``."""
