"""The commands of ``rep-translate``, one module each: a function of its name, and its ``EPILOG``."""
