"""Code that a saved detector may not run: that it was imported is seen in ``sys.modules``."""

from __future__ import annotations

from typing import Any


def whole(pixels: Any, spacing_mm: Any) -> Any:
    return pixels


class Trap:
    pass
