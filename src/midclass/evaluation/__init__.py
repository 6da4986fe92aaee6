"""Score tables and every figure made of them."""
