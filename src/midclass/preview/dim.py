"""Dim: images whose grey levels hardly differ, such as 12 bits in files of 16."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from midclass.images.traits import TRAITS

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared

DIM = 0.015
"""Standard deviation inside the anatomy; of real collections the median is .05 to .3."""


def spread_of(prepared: Prepared) -> float | None:
    """Median standard deviation inside the anatomy, of the range.

    None where nothing is known, as of tiles.
    """
    spread = prepared.traits[:, TRAITS.index("spread")]
    known = spread[np.isfinite(spread)]
    return float(np.median(known)) if len(known) else None


def in_words(spread: float | None) -> str:
    """What to do about it; "" where it is enough, or not known.

    >>> in_words(0.004)[:68], in_words(0.1), in_words(None)
    ('inside the anatomy the images hardly differ, by 0.4% of the range; w', '', '')
    """
    if spread is None or spread >= DIM:
        return ""
    return (
        f"inside the anatomy the images hardly differ, by {spread:.1%} of the range; where files "
        "use a part of their bits, say which values count by intensity.window, [0, 4095] of 12 "
        "bits, or take intensity rule percentiles"
    )
