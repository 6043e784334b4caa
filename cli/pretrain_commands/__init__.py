"""The commands of ``rep-pretrain``, one module each: a function of its name, and its ``EPILOG``."""
