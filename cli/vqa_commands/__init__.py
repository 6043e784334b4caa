"""The commands of ``rep-vqa``, each a module of its name."""
