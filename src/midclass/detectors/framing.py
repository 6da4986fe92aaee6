"""Framing: do images show the anatomy where the images to learn from do, and as large?

A threshold promises a rate of false alarms among images like those that set it. Whether new ones
are like them is asked without labels, by what disease hardly moves: size and place of the anatomy
in the sample. Grain, sharpness and brightness are not asked, since disease changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from midclass.detectors.folder import moving
from midclass.images.traits import TRAITS

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.detectors.limits import Limits
    from midclass.images.prepared import Prepared

ASKED = {
    "height": ("takes more of the height", "takes less of the height"),
    "width": ("takes more of the width", "takes less of the width"),
    "centre_y": ("lies lower", "lies higher"),
    "centre_x": ("lies farther right", "lies farther left"),
    "area": ("covers more of the sample", "covers less of the sample"),
}
"""Trait -> words for more than the median, and for less."""
FEWEST = 20
"""Patients of fewer of whom nothing is said."""
ONE_SIDE = 0.8
"""Mean share of a patient's images on one side of the median that is said. In four collections of
the development suite it is .52 at most, ill and healthy together; see docs/research-log.md."""
NEARLY = 0.01
"""Of the sample: a trait that is nearer to the median lies on neither side."""
LEVEL = 0.001
"""The chance that anything is said of patients like those to learn from, for all traits."""

Side: TypeAlias = tuple[int, ...]
"""Of one patient: how many images, and of these, for each trait asked, above and below the median:
``(1 + 2 * traits,)``."""


@dataclass
class Framing:
    """On which side of the given class's medians the images of each patient lie."""

    sides: dict[str, Side] = field(default_factory=dict)

    def add(self, others: Mapping[str, Side]) -> None:
        """Take in more images, of these patients or of others."""
        for patient, side in others.items():
            known = self.sides.get(patient, (0,) * len(side))
            self.sides[patient] = tuple(map(sum, zip(known, side, strict=True)))

    def otherwise(self) -> list[str]:
        """How the anatomy lies otherwise, in words; none where it does not, or of few patients.

        >>> taller = {f"p{n}": (1, 1, *[0] * 9) for n in range(30)}
        >>> Framing(taller).otherwise()
        ['it takes more of the height in 100% of them']
        """
        from scipy.stats import binomtest

        found = list[str]()
        if len(self.sides) < FEWEST:
            return found
        images, *rest = np.array([*self.sides.values()], np.float64).T
        shares = np.array(rest).reshape(len(ASKED), 2, -1) / images
        for (above, below), (more, less) in zip(shares, ASKED.values(), strict=True):
            most = max(above.mean(), below.mean())
            tells = int((above != below).sum())
            if most < ONE_SIDE:
                continue
            if binomtest(int((above > below).sum()), tells).pvalue * len(ASKED) <= LEVEL:
                found.append(f"it {more if above.mean() == most else less} in {most:.0%} of them")
        return found


def sides_of(detector: Detector, prepared: Prepared) -> dict[str, Side]:
    """How the images of each patient lie beside the medians of the given class.

    None of a detector whose threshold was set anew, with normals of another site.
    """
    found = dict[str, Side]()
    if detector.parent_ is not None and not detector.moved:
        return found
    framing = Framing(found)
    for row in detector.assessable(prepared).tolist():
        patient = prepared.cases.cases[int(prepared.case_index[row])].patient_id
        limits = detector.plausible_.limits.get(int(prepared.link[row]), {})
        traits = prepared.traits[row]
        sides = [_side(float(traits[TRAITS.index(name)]), limits.get(name)) for name in ASKED]
        framing.add({patient: (1, *(int(one) for side in sides for one in side))})
    return found


def _side(trait: float, limits: Limits | None) -> tuple[bool, bool]:
    """Whether it lies above, and below; neither where it is not known."""
    if limits is None:
        return False, False
    return trait > limits.middle + NEARLY, trait < limits.middle - NEARLY


def warning(otherwise: list[str], detector: Detector) -> str:
    """What a user should know and do."""
    in_folds = detector.folds_ is not None
    unlabelled = "" if in_folds else f"; or without labels, {moving(detector.moved)}"
    return (
        "note: these images show the anatomy otherwise than those that were learned from: "
        f"{'; '.join(otherwise)}; whether at most {detector.max_fpr_:.1%} false alarms hold for "
        "them is not known: set the threshold with normals of this kind, midclass calibrate"
        f"{unlabelled}"
    )
