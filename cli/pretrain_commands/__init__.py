"""The commands of ``rep-pretrain``, one module each: ``add_arguments`` and ``run``."""
