"""Detectors: the method, its control and the baselines."""
