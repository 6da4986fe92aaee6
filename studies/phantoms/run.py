"""Does a recipe that no images have measured see what other code draws into phantoms?

python studies/phantoms/run.py bone_xray        # five minutes of one core
python studies/phantoms/run.py                  # all of them

No real images of these tasks are at hand. The method's own network learns from generated normal
images (no pretrained network, which would see much of this without any knowledge), and is asked for
lesions in others that share no code with the operators: a disc with a rough border whose level is
mixed in. That shows what is broken, and no more: these lesions are plain, and phantoms are not
patients. Writes ``results.csv``.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage as ndi

from midclass import Cohort, MiddleClassDetector, Recipe, prepare
from midclass.detectors.cohort_scores import score_table
from midclass.evaluation.report import auroc_of
from midclass.files import new_text
from midclass.images import phantoms
from midclass.images.anatomy import intracranial
from midclass.preview.phantoms import for_phantoms

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.csv"
LEARNED, NORMAL, ILL, SIZE = 140, 45, 45, 192
Picture = NDArray[np.float64]


def spot(
    shape: tuple[int, ...], mm: float, middle: NDArray[np.intp], radius_mm: float, rng: Drawer
) -> Picture:
    """A rough ellipse: 1 inside, 0 outside."""
    y, x = np.indices(shape)
    turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.6, 1)
    down, right = (y - middle[0]) * mm, (x - middle[1]) * mm
    along = right * np.cos(turn) + down * np.sin(turn)
    across = (down * np.cos(turn) - right * np.sin(turn)) / ratio
    rough = ndi.gaussian_filter(rng.normal(size=shape), radius_mm / 4 / mm)
    inwards = 1 + 0.15 * rough / rough.std() - np.hypot(along, across) / radius_mm
    return np.asarray(1 / (1 + np.exp(-inwards * 8)))


def one_of(mask: NDArray[np.bool_], rng: Drawer) -> NDArray[np.intp]:
    """A place in a mask."""
    places = np.argwhere(mask)
    return np.asarray(places[rng.integers(len(places))])


def lytic(grey: Picture, mm: float, rng: Drawer) -> Picture:
    """Bone that is gone: as dark as the soft tissue around."""
    smooth = ndi.gaussian_filter(grey, 2 / mm)
    body = smooth > 0.1
    bone = smooth > np.quantile(smooth[body], 0.7)
    share = spot(grey.shape, mm, one_of(bone, rng), rng.uniform(5, 14), rng)
    gone = np.quantile(smooth[body], 0.25) * rng.uniform(0.7, 1.1) + grey - smooth
    return np.asarray(np.minimum(grey, grey + share * (gone - grey)))


def blotch(grey: Picture, mm: float, rng: Drawer) -> Picture:
    """A darker part of a mole."""
    smooth = ndi.gaussian_filter(grey, 0.3 / mm)
    mole = smooth < (smooth.min() + smooth.max()) / 2
    share = spot(grey.shape, mm, one_of(mole, rng), rng.uniform(0.8, 2.2), rng)
    return np.asarray(grey * (1 - share * rng.uniform(0.25, 0.55)))


def infarct(grey: Picture, mm: float, rng: Drawer) -> Picture:
    """A part of the brain that is darker by an eighth to a quarter."""
    brain = np.asarray(intracranial(grey[None].astype(np.float32), (mm, mm)))
    deep = ndi.distance_transform_edt(brain, sampling=mm) > 15
    if not deep.any():
        return grey
    share = spot(grey.shape, mm, one_of(deep, rng), rng.uniform(12, 28), rng) * brain
    return np.asarray(grey - share * rng.uniform(0.12, 0.25) * np.median(grey[brain]))


Drawer = np.random.Generator
TASKS: dict[str, tuple[str, str, Callable[[Picture, float, Drawer], Picture]]] = {
    "bone_xray": ("limb", "lytic lesions", lytic),
    "dermoscopy": ("naevus", "dark blotches", blotch),
    "stroke_ct": ("head", "infarcts", infarct),
}
"""Recipe -> kind of phantom, what is drawn, and by what."""


def cohorts_of(name: str, folder: Path) -> tuple[Cohort, Cohort]:
    """Phantoms to learn from, and those of other patients, of whom the last are ill."""
    kind, _, draw = TASKS[name]
    manifest = phantoms.write(folder, kind, 11, LEARNED + NORMAL + ILL, 0, size=SIZE)
    cohort = Cohort.from_manifest(manifest)
    learned = {case.patient_id for case in cohort.cases[:LEARNED]}
    rng = np.random.default_rng(1)
    train, test = [], []
    for row, case in enumerate(cohort):
        if row >= LEARNED and case.patient_id in learned:
            continue
        ill = row >= LEARNED + NORMAL
        if ill:
            stored = np.asarray(Image.open(case.path))
            most = np.iinfo(stored.dtype).max
            assert case.spacing_mm is not None
            drawn = draw(stored / most, case.spacing_mm[0], rng).clip(0, 1)
            Image.fromarray((drawn * most).round().astype(stored.dtype)).save(case.path)
        (test if row >= LEARNED else train).append(replace(case, label=int(ill)))
    return replace(cohort, cases=tuple(train)), replace(cohort, cases=tuple(test))


def measured(name: str) -> dict[str, str]:
    """One row of the table."""
    recipe = for_phantoms(Recipe.load(name))
    budget = recipe.budget.model_copy(update={"pretrained": None})
    geometry = recipe.geometry.model_copy(update={"view": "whole"})
    recipe = recipe.model_copy(update={"budget": budget, "geometry": geometry})
    with tempfile.TemporaryDirectory() as scratch:
        train, test = cohorts_of(name, Path(scratch) / name)
        detector = MiddleClassDetector(recipe)
        detector.fit(prepare(train, recipe), seed=0, max_fpr=0.1)
        scores = score_table(detector, prepare(test, recipe))
    return {
        "recipe": name,
        "drawn": TASKS[name][1],
        "auroc": f"{auroc_of(scores):.3f}",
        "not_assessed": str(int((~scores.assessed).sum())),
    }


def main() -> int:
    """Measure the tasks that are named, or all; the others keep their rows."""
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or list(TASKS)
    rows = {}
    if RESULTS.exists():
        with RESULTS.open(encoding="utf-8", newline="") as file:
            rows = {row["recipe"]: row for row in csv.DictReader(file)}
    for name in wanted:
        rows[name] = measured(name)
        sys.stdout.write(f"{rows[name]}\n")
        with new_text(RESULTS) as out:
            writer = csv.DictWriter(out, list(rows[name]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[one] for one in TASKS if one in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
