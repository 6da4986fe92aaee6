"""Studies: tasks x detectors x repeats, and their report."""
