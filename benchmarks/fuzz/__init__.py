"""Fuzzing: damaged and hostile files are read right, or give one clear line."""
