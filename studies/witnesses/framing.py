"""How the images of a cohort lie beside those to learn from: traits of their anatomy and texture.

python studies/witnesses/framing.py --data ../shared/data

Writes ``framing.csv``: for each cohort, class and trait the share of images above the median of the
given class to learn from, and the AUROC of the trait as if it were a score (above .5: larger than
there); ``framed.csv``: the largest mean share on one side that ``detectors.framing`` asks for. No
training: the limits of a detector that scores by intensity are those of any other.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from midclass import Cohort, Detector, Prepared, Recipe, prepare
from midclass.detectors.catalogue import detector_class
from midclass.detectors.framing import sides_of
from midclass.evaluation.metrics import auroc
from midclass.files import new_text
from midclass.images.traits import TRAITS

HERE = Path(__file__).resolve().parent
MANIFESTS = {
    "official chest test": ("chest_xray", "kermany_cxr/manifest.csv", "split"),
    "brain_mr": ("brain_mr", "transfer/brain_mr/manifest.csv", "split"),
    "chest_ct": ("chest_ct", "transfer/chest_ct/manifest.csv", "split"),
    "fundus": ("fundus", "transfer/fundus/manifest.csv", "split"),
    "head_ct": ("head_ct", "transfer/head_ct/manifest.csv", "split"),
    "CT-ICH": ("head_ct", "ct_ich/manifest.csv", "splits.csv:repeat_0"),
}
ASKED = ("height", "width", "centre_y", "area", "grain", "roughness", "detail")


def main() -> int:
    """Prepare, compare, and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    given = parser.parse_args()
    traits, framed = list[list[object]](), list[list[object]]()
    for cohort, (recipe_name, manifest, split) in MANIFESTS.items():
        recipe = Recipe.load(recipe_name)
        whole = Cohort.from_manifest(given.data / manifest, split)
        train, test = (
            prepare(whole.part(part), recipe, cache=given.cache, keep_going=True)
            for part in ("train", "test")
        )
        normal = of_label(train, 0)
        detector = detector_class("intensity")(recipe)
        detector.fit(normal, max_fpr=0.1, seed=0)
        parts = {"normal": of_label(test, 0), "ill": of_label(test, 1)}
        if cohort == "official chest test":
            ill = of_label(train, 1)
            parts["ill, training part"] = ill
            framed.append(["pneumonia of the training part", most(detector, ill)])
        framed.append([cohort, most(detector, test)])
        for name, part in parts.items():
            for trait in ASKED:
                known, seen = (one.traits[:, TRAITS.index(trait)] for one in (normal, part))
                known, seen = known[np.isfinite(known)], seen[np.isfinite(seen)]
                label = np.repeat([0, 1], [len(known), len(seen)])
                area = auroc(label, np.concatenate([known, seen]).astype(float))
                above = float((seen > np.median(known)).mean())
                traits.append([cohort, name, trait, f"{above:.3f}", f"{area:.3f}"])
    write("framing.csv", ["cohort", "class", "trait", "above", "auroc"], traits)
    write("framed.csv", ["cohort", "most"], framed)
    return 0


def of_label(prepared: Prepared, label: int) -> Prepared:
    """The cases of one class."""
    return prepared.subset(Cohort(tuple(c for c in prepared.cases if c.label == label)))


def most(detector: Detector, prepared: Prepared) -> str:
    """The largest mean share of a patient's images on one side of a median, of any trait."""
    shown = detector.by_plausible_anatomy(prepared)
    images, *rest = np.array([*sides_of(detector, shown).values()], float).T
    return f"{float((np.array(rest) / images).mean(1).max()):.3f}"


def write(name: str, head: list[str], rows: Iterable[list[object]]) -> None:
    """One table beside this file."""
    with new_text(HERE / name) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
