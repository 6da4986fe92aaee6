"""midclass: knowledge-guided one-class classification for imbalanced medical images."""

__version__ = "0.1.0"
