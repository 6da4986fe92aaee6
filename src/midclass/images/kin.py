"""Kin: images of a patient that are scored together, as slices of a series and both breasts are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.images.case import Case

if TYPE_CHECKING:
    from midclass.recipe.parts import Geometry

Kin: TypeAlias = Callable[[Case], tuple[str, ...]]
"""Gives the same for cases that are scored together."""


def kin_of(geometry: Geometry) -> Kin | None:
    """Which cases are scored together; None where each is scored alone."""
    if geometry.in_context:
        return lambda case: case.stack
    return None if geometry.compare is None else lambda case: case.both_sides


def brought_together(cases: Sequence[Case], kin: Kin) -> tuple[Case, ...]:
    """The same cases; those of one kin follow each other, from where its first case is."""
    first: dict[tuple[str, ...], int] = {}
    for number, case in enumerate(cases):
        first.setdefault(kin(case), number)
    return tuple(sorted(cases, key=lambda case: first[kin(case)]))


def other_sides(cases: Sequence[Case]) -> NDArray[np.int64]:
    """Of each case the number of the other side's, in the same view of the study: ``(n,)``.

    -1 where there is none. Where there are two images of one side in that view nobody can tell
    which belong together, and none has another side.

    Args:
        cases: n of them, with all of their kin.

    >>> from pathlib import Path
    >>> left, right = (Case(side, Path("a"), 0, "p", laterality=side) for side in "LR")
    >>> other_sides([left, Case("c", Path("a"), 0, "q", laterality="R"), right]).tolist()
    [2, -1, 0]
    """
    found, kin = np.full(len(cases), -1), dict[tuple[str, ...], list[int]]()
    for number, case in enumerate(cases):
        kin.setdefault(case.both_sides, []).append(number)
    for members in kin.values():
        if sorted(cases[number].laterality for number in members) == ["L", "R"]:
            found[members] = members[::-1]
    return found
