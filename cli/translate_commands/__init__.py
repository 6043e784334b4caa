"""The commands of ``rep-translate``, one module each: ``add_arguments`` and ``run``."""
