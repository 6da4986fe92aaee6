"""Lesions of known cases put into normal images: what are they worth?

python studies/positives/moved.py --data ../shared/data brain_mr 5 0

The development suite, as in ``learned.py``. The method learns with so many known cases twice, with
the same seed: with lesions of them in normal images, and without. Writes
``moved/TASK_NUMBER_REPEAT.csv``: what all say together and each that learned the known cases; a row
is an image of the given class that was held out, or one of the test. Twenty minutes of one core.
"""

from __future__ import annotations

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import torch

from midclass import ImageBatch, MiddleClassDetector
from midclass.files import new_text
from midclass.training.lesson import FORWARD_BATCH

HERE = Path(__file__).resolve().parent
learned = runpy.run_path(str(HERE / "learned.py"))
Watched = learned["Watched"]


class Without(Watched):  # type: ignore[misc, valid-type]
    """The method as it was: the known cases alone."""

    moves_lesions = False


def main() -> int:
    """Learn both ways, and write AUROC."""
    given = learned["asked"](__doc__)
    recipe, learned_from, positives, tested = learned["samples"](given)
    rows = []
    for way, kind in (("without", Without), ("with", Watched)):
        detector = kind(recipe)
        detector.fit(learned_from, positives=positives, seed=given.repeat, max_fpr=0.1)
        scored = detector.by_plausible_anatomy(tested)
        index = detector.assessable(scored)
        labels = [scored.cases.cases[scored.case_index[row]].label for row in index]
        held_out, test_images = detector.held_out, scored.batch(index)
        rows += rows_of(detector, (way, "held out"), held_out, [0] * len(held_out))
        rows += rows_of(detector, (way, "test"), test_images, labels)
    with new_text(HERE / "moved" / f"{given.task}_{given.number}_{given.repeat}.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("way", "part", "label", "all", *learned["COLUMNS"]), *rows])
    return 0


def rows_of(
    detector: MiddleClassDetector, which: tuple[str, str], images: ImageBatch, labels: list[int]
) -> list[tuple[str | int, ...]]:
    """What is said of each image."""
    with torch.inference_mode():
        said = [detector.score(part)[0] for part in images.split(FORWARD_BATCH)]
    scores = np.column_stack([torch.cat(said).numpy(), detector.columns(images)])  # type: ignore[attr-defined]
    return [
        (*which, label, *(f"{value:.5g}" for value in row))
        for label, row in zip(labels, scores, strict=True)
    ]


if __name__ == "__main__":
    sys.exit(main())
