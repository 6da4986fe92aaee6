"""What neighbours are worth: blood drawn through the slices of held-out patients of CT-ICH.

python studies/witnesses/series.py --data ../shared/data

No label of the disease enters. Detectors that fit in a minute learn from normal patients; in others
a lesion in 3-D goes through their slices (5 mm apart), ten times. Writes ``series.csv``: the AUROC
of slices that show it against the same patients' slices without it, alone and with the neighbours.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from midclass import Case, Cohort, Detector, ImageBatch, Prepared, Recipe, prepare
from midclass.detectors.catalogue import detector_class
from midclass.detectors.context import Context
from midclass.detectors.parts import parted
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.files import new_text
from midclass.knowledge.focal import Focal

HERE = Path(__file__).resolve().parent
DETECTORS = ("one_class_svm", "padim", "patchcore", "mahalanobis", "nearest_neighbour")
REPEATS, TIMES = 3, 10
APART_MM, AT_ONCE = 5.0, 64
BLOOD = Focal(sign="bright", diameter_mm=(8, 50))
"""As the recipe's, a ball in 3-D."""


@dataclass(frozen=True)
class Pile:
    """The slices of one patient that can be assessed, in order."""

    cases: tuple[Case, ...]
    images: ImageBatch

    @classmethod
    def of_all(cls, detector: Detector, prepared: Prepared) -> Iterator[Pile]:
        """Those of every patient."""
        prepared = detector.by_plausible_anatomy(prepared)
        rows = detector.assessable(prepared)
        cases = [prepared.cases.cases[prepared.case_index[row]] for row in rows]
        for patient in sorted({case.patient_id for case in cases}):
            mine = [k for k, case in enumerate(cases) if case.patient_id == patient]
            mine.sort(key=lambda k: cases[k].slice or 0.0)
            yield cls(tuple(cases[k] for k in mine), prepared.batch(rows[mine]))

    def bleeding(self, rng: torch.Generator) -> tuple[ImageBatch, NDArray[np.bool_]]:
        """The slices with blood through them, and which show it."""
        pixels, anatomy = (
            one.permute(1, 0, 2, 3)[None] for one in (self.images.pixels, self.images.anatomy)
        )
        spacing = torch.tensor([[APART_MM, *self.images.spacing_mm.mean(0).tolist()]])
        middle = BLOOD(ImageBatch(pixels, anatomy, spacing), rng)
        shown = (middle.change[0, 0].flatten(1).amax(1) > 0.5).numpy()
        slices = middle.pixels[0].permute(1, 0, 2, 3).contiguous()
        return self.images.with_pixels(slices), shown


@torch.inference_mode()
def scores(detector: Detector, images: ImageBatch) -> FloatArray:
    """Of slices, each alone."""
    found = [detector.score(part)[0].double().numpy() for part in images.split(AT_ONCE)]
    return np.concatenate(found)


def areas(detector: Detector, calibrate: Prepared, held_out: Prepared) -> tuple[int, float, float]:
    """How many slices bleed; AUROC of slices alone and with their neighbours."""
    known = list(Pile.of_all(detector, calibrate))
    context = Context.of(
        np.concatenate([scores(detector, pile.images) for pile in known]),
        [case for pile in known for case in pile.cases],
        detector.recipe.geometry,
    )
    rng = torch.Generator().manual_seed(0)
    label, alone, together = list[NDArray[np.bool_]](), list[FloatArray](), list[FloatArray]()
    for pile in Pile.of_all(detector, held_out):
        normal = scores(detector, pile.images)
        label.append(np.zeros(len(normal), bool))
        alone.append(normal)
        together.append(context(normal, pile.cases))
        for _ in range(TIMES):
            images, shown = pile.bleeding(rng)
            found = scores(detector, images)
            label.append(np.ones(int(shown.sum()), bool))
            alone.append(found[shown])
            together.append(context(found, pile.cases)[shown])
    truth = np.concatenate(label).astype(np.int64)
    each, both = (auroc(truth, np.concatenate(one)) for one in (alone, together))
    return int(truth.sum()), each, both


def main() -> int:
    """Learn, draw blood, score, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    torch.set_num_threads(1)
    recipe, rows = Recipe.load("head_ct"), list[list[object]]()
    for repeat in range(REPEATS):
        split = f"splits.csv:repeat_{repeat}"
        cohort = Cohort.from_manifest(data / "ct_ich/manifest.csv", split).part("train")
        given = prepare(cohort.given_class(), recipe)
        parts = parted(given.cases.by_case_id(), set(), repeat)
        halves = [given.subset(parts[name]) for name in ("select", "calibrate")]
        for name in DETECTORS:
            detector = detector_class(name)(recipe).fit(given, seed=repeat, max_fpr=0.05)
            found = areas(detector, *halves)
            rows.append([repeat, name, found[0], *(f"{area:.4f}" for area in found[1:])])
    with new_text(HERE / "series.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["repeat", "detector", "bleeding", "alone", "with neighbours"])
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
