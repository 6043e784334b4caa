"""The commands: they parse, call the library and print.

Everything they do, the Python API does in as few lines.
"""
