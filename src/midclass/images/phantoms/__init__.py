"""Generated breast, head and chest phantoms with lesions: the offline default of demo and tests."""

from midclass.images.phantoms.set import KINDS, STAND_INS, make, write

__all__ = ["KINDS", "STAND_INS", "make", "write"]
