"""Negatives: images in which bright and dark are exchanged beside the others of their cohort.

A detector that learns from both takes either for normal, and its limits are as wide as that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midclass.images.from_afar import negatives, pictures_of

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared
    from midclass.recipe.parts import Geometry

NAMED = 3


def exchanged(prepared: Prepared, geometry: Geometry) -> list[str]:
    """The ids of the cases that look like negatives of most others; of whole images in 2-D."""
    if len(prepared.shape) != 4 or not geometry.shows_all:
        return []
    rows = negatives(pictures_of(prepared))
    return list(dict.fromkeys(prepared.cases[int(prepared.case_index[k])].case_id for k in rows))


def in_words(found: list[str], total: int) -> str:
    """What to do about them; "" where there are none.

    >>> in_words(["a.png"], 9)[:61]
    'in 1 of 9 images bright and dark are exchanged beside the oth'
    """
    if not found:
        return ""
    named = ", ".join(found[:NAMED])
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return (
        f"in {len(found)} of {total} images bright and dark are exchanged beside the others: "
        f"{named}{more}; invert these or leave them out, or a detector takes either for normal"
    )
