"""What the other side is worth: lesions drawn into one breast of held-out patients of mini-MIAS.

python studies/tiles/mirrored.py --data ../shared/data padim

No label of the disease enters. In four folds (``middle_class``: two, half an hour of one core) a
detector learns from normal patients of the training part of splitting 0; into each breast of the
others every operator of the recipe draws a lesion. Writes ``mirrored/DETECTOR.csv``: the AUROC by
which breasts with a lesion are told from the same without it, alone and beside the other breast,
which stays normal; by how far off a mirrored place may be, and how much of what it shows is taken
off.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from midclass import Cohort, Detector, Prepared, Recipe, prepare
from midclass.detectors import other_side, sliding
from midclass.detectors.catalogue import detector_class
from midclass.detectors.places import Places
from midclass.evaluation.metrics import auroc
from midclass.files import new_text
from midclass.images.kin import other_sides

HERE = Path(__file__).resolve().parent
FOLDS = {"middle_class": 2}
REACH_MM = (5.0, 10.0, 20.0)
SHARES = (0.25, 0.5, 0.75, 1.0)
SEED, RATE = 7, 0.4  # no threshold is used


def looked_at(detector: Detector, prepared: Prepared) -> dict[str, Places]:
    """What a detector says of the places of each image, by case."""
    kept = list[Places]()

    def keeping(*about: Any) -> Places:
        kept.append(Places(*about))
        return kept[-1]

    with mock.patch.object(sliding, "Places", keeping):
        rows = np.concatenate([look.rows for look in detector.looks(prepared)])
    cases = [prepared.cases.cases[case].case_id for case in prepared.case_index[rows]]
    return dict(zip(cases, kept, strict=True))


def with_lesions(prepared: Prepared, recipe: Recipe, rng: torch.Generator) -> Iterator[Prepared]:
    """The same images with a lesion by each operator."""
    for operator in recipe.operators().values():
        pixels = np.array(prepared.store.pixels)
        for row in range(len(prepared)):
            drawn = operator(prepared.batch([row]), rng).pixels[0].clamp(0, 1).numpy()
            pixels[prepared.rows[row]] = np.rint(drawn * 65535)
        yield replace(prepared, store=replace(prepared.store, pixels=pixels))


def figures(sick: list[list[Places]], well: list[Places], other: list[Places]) -> list[list[str]]:
    """AUROC alone, and for each reach and share beside the other side."""
    truth = np.repeat([0, 1], [len(well), sum(map(len, sick))])

    def area(score: Callable[[Places, Places], float]) -> str:
        normal = [score(*pair) for pair in zip(well, other, strict=True)]
        ill = [score(one, there) for drawn, there in zip(sick, other, strict=True) for one in drawn]
        return f"{auroc(truth, np.array(normal + ill)):.4f}"

    rows = [["", "", area(lambda one, _: float(one.highest()))]]
    for reach in REACH_MM:
        for share in SHARES:
            with mock.patch.multiple(other_side, REACH_MM=reach, SHARE=share):
                found = area(lambda one, there: float(other_side.beside(one, there)[0]))
                rows.append([f"{reach:g}", f"{share:g}", found])
    return rows


def main() -> int:
    """Learn, draw, score, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("detector")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe, rng = Recipe.load("mammography_whole"), torch.Generator().manual_seed(SEED)
    manifest = asked.data / "mini_mias/manifest.csv"
    cohort = Cohort.from_manifest(manifest, "splits.csv:repeat_0").part("train")
    given = prepare(cohort.given_class(), recipe)
    number = FOLDS.get(asked.detector, 4)
    folds = given.cases.split_by_patient({f"{k}": 1 / number for k in range(number)}, SEED)
    sick, well, beside = list[list[Places]](), list[Places](), list[Places]()
    for fold in folds.values():
        inside = {case.case_id for case in fold}
        rest = given.cases[[case.case_id not in inside for case in given.cases]]
        detector = detector_class(asked.detector)(recipe)
        detector.fit(given.subset(rest), seed=0, max_fpr=RATE, folds=0)
        held_out = given.subset(fold)
        normal = looked_at(detector, held_out)
        drawn = [looked_at(detector, one) for one in with_lesions(held_out, recipe, rng)]
        for row, other in enumerate(other_sides(held_out.cases.cases)):
            mine, theirs = (held_out.cases.cases[number].case_id for number in (row, other))
            if other >= 0 and mine in normal and theirs in normal:
                sick.append([one[mine] for one in drawn if mine in one])
                well.append(normal[mine])
                beside.append(normal[theirs])
    with new_text(HERE / "mirrored" / f"{asked.detector}.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["reach_mm", "share", "auroc"])
        writer.writerows(figures(sick, well, beside))
    return 0


if __name__ == "__main__":
    sys.exit(main())
