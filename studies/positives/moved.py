"""Lesions of known cases put into normal images: what are they worth?

python studies/positives/moved.py --data ../shared/data brain_mr 5 0

The development suite, as in ``learned.py``. The method learns with so many known cases twice, with
the same seed: with lesions of them in normal images, and without. Writes
``moved/TASK_NUMBER_REPEAT.csv``: AUROC of all witnesses together and of each that learned the known
cases. Twenty minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import torch

from midclass import Recipe, prepare
from midclass.evaluation.metrics import auroc
from midclass.files import new_text
from midclass.training.lesson import FORWARD_BATCH

HERE = Path(__file__).resolve().parent
learned = runpy.run_path(str(HERE / "learned.py"))
Watched, parts, suite_cases = learned["Watched"], learned["parts"], learned["suite_cases"]


class Without(Watched):  # type: ignore[misc, valid-type]
    """The method as it was: the known cases alone."""

    moves_lesions = False


def main() -> int:
    """Learn both ways, and write AUROC."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("number", type=int)
    parser.add_argument("repeat", type=int)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe, train, test = suite_cases(given.task, given.repeat, given.data)
    if given.task == "chest":
        recipe = Recipe.load("chest_xray")
    known, rest = parts(test, given.number, given.repeat)
    learned_from, positives, tested = (prepare(cohort, recipe) for cohort in (train, known, rest))
    rows = []
    for way, kind in (("without", Without), ("with", Watched)):
        detector = kind(recipe)
        detector.fit(learned_from, positives=positives, seed=given.repeat, max_fpr=0.1)
        scored = detector.by_plausible_anatomy(tested)
        index = detector.assessable(scored)
        label = np.array([scored.cases.cases[scored.case_index[row]].label for row in index])
        images = scored.batch(index)
        with torch.inference_mode():
            said = [detector.score(part)[0] for part in images.split(FORWARD_BATCH)]
        scores = np.column_stack([torch.cat(said).numpy(), detector.columns(images)])
        for who, column in zip(("all", *learned["COLUMNS"]), scores.T, strict=True):
            rows.append((way, who, f"{auroc(label, column):.5f}"))
    with new_text(HERE / "moved" / f"{given.task}_{given.number}_{given.repeat}.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([("way", "who", "auroc"), *rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
