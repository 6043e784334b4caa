"""Files of questions: one module a format."""
