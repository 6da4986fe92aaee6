"""Marks: the places at which heat maps point, against the lesions of which the manifest knows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from midclass.detectors.heat_maps import HeatMaps
from midclass.evaluation.localisation import Lesion, Mark, localisation, peaks
from midclass.images.case import Case
from midclass.images.prepared import Prepared
from midclass.recipe.parts import Geometry

APART = {"tiles": 0.5, "whole": 1 / 16, "slices": 1 / 16}
"""View -> how far marks lie apart, in units of the longer side of ``geometry.size``."""


def localised(prepared: Prepared, maps: HeatMaps, geometry: Geometry) -> dict[str, Any] | None:
    """How well heat maps point at lesions; None where no lesion is known, or nothing is learned.

    Squares around a place (view roi) have their lesion in the middle: where it is says nothing.

    Args:
        prepared: labelled cases, one sample each.
        maps: of their samples; of one that could not be assessed there is none.
        geometry: the recipe's.

    Returns:
        See ``localisation.localisation``, and ``not_assessed``: lesions in images without a map,
        which are left out; ``apart_mm``: marks are no nearer to each other.
    """
    if geometry.view not in APART:
        return None
    cases = [prepared.cases.cases[number] for number in prepared.case_index]
    known = list(_lesions(cases))
    apart = APART[geometry.view] * max(geometry.size)
    marks = dict[str, list[Mark]]()
    for row, case in enumerate(cases):
        heat = maps.get(row)
        if heat is None:
            continue
        found = peaks(heat, apart)
        rows, columns, scores = np.array(found, np.float64).reshape(-1, 3).T
        places = prepared.placement(row).in_source(rows, columns, geometry.grid)
        marks[case.case_id] = [
            Mark(float(x), float(y), float(score))
            for (x, y), score in zip(places, scores, strict=True)
        ]
    lesions = [lesion for lesion in known if lesion.image in marks]
    given = [case.case_id for case in cases if case.label == 0 and case.case_id in marks]
    if not lesions or not given:
        return None
    apart_mm = apart * float(np.median(prepared.spacing_mm))
    unseen = {"not_assessed": len(known) - len(lesions), "apart_mm": apart_mm}
    return localisation(marks, lesions, given) | unseen


def _lesions(cases: Iterable[Case]) -> Iterable[Lesion]:
    for case in cases:
        if case.label == 1 and case.centre is not None and case.radius is not None:
            yield Lesion(case.case_id, case.patient_id, *case.centre, case.radius)
