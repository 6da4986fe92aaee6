"""Recipes: one task as YAML, checked and resolved."""
