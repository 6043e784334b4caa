"""How maps between languages are found: one module a method, and where learning starts without a dictionary."""
