"""Breast ultrasound with a given class of normal images: what was seen in BreastMNIST.

python studies/ultrasound/cohort.py --data ../shared/data --out FOLDER

BreastMNIST calls normal and benign one class, and the recipe asks whether there is a mass. So the
images of that class were looked at, 28 pixels enlarged, by one who is no radiologist and saw no
score of them: ``seen.csv`` lists those that show nothing and those that clearly show a mass.
What is doubtful is left out, so that this test is easier than a clinic. Malignant images are all
taken, by their own label. The archive tells no patients, and holds neighbouring pictures of one
breast: images that are linked by correlations above .95 count as one patient. Writes
``FOLDER/manifest.csv`` and a copy of the images beside it; ``redraw`` of a study draws anew which
normal patients are learned from.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from midclass.files import new_text

SEEN = Path(__file__).resolve().parent / "seen.csv"
ARCHIVE = "breastmnist.npz"
ALIKE = 0.95
LEARNED = 0.6
"""Share of the normal images."""


def rows(manifest: Path) -> list[tuple[str, str, int, str]]:
    """Array, index, label and class of the images that are taken."""
    with SEEN.open(encoding="utf-8", newline="") as file:
        seen = {(row["array"], row["index"]): row["seen"] for row in csv.DictReader(file)}
    names = {"nothing": (0, "normal"), "mass": (1, "benign mass")}
    found = []
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            place = row["array"], row["index"]
            if row["label"] == "1":
                found.append((*place, 1, "malignant"))
            elif place in seen:
                found.append((*place, *names[seen[place]]))
    return found


def patients(archive: Path, taken: list[tuple[str, str, int, str]]) -> NDArray[np.int32]:
    """A number for each image; alike ones have the same."""
    with np.load(archive) as arrays:
        pixels = np.stack([arrays[array][int(index)].ravel() for array, index, *_ in taken])
    _, found = connected_components(np.corrcoef(pixels) > ALIKE, directed=False)
    return np.asarray(found)


def main() -> int:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    folder = given.data / "breastmnist"
    taken = rows(folder / "manifest.csv")
    who = patients(folder / ARCHIVE, taken)
    normal = np.array([row[2] == 0 for row in taken])
    apart = np.unique(who[normal & ~np.isin(who, who[~normal])])
    learned = set(apart[: round(LEARNED * len(np.unique(who[normal])))].tolist())
    given.out.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / ARCHIVE, given.out)
    with new_text(given.out / "manifest.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "array", "index", "label", "class_name", "patient_id", "split"])
        for k, (array, index, label, name) in enumerate(taken):
            part = "train" if who[k] in learned else "test"
            writer.writerow([ARCHIVE, array, index, label, name, f"p{who[k]}", part])
    return 0


if __name__ == "__main__":
    sys.exit(main())
