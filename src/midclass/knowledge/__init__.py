"""Medical knowledge as operators: one piece of knowledge per file."""
