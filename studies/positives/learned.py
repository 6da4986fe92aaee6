"""What each that has learned known cases says of others: numbers from which rules are compared.

python studies/positives/learned.py --data ../shared/data chest 20 0

The development suite, as in ``studies/witnesses/run.py``, ``chest`` at the recipe's own size and
budget. The method learns with so many known cases, of a patient each of one half of the ill
patients; they are left out of the test with all others of that half. With more than five a network
that learns by oversampling has the same cases. Another number draws another half.
Writes ``learned/TASK_NUMBER_REPEAT.csv``; a row is an image of the given class that was held out,
or one of the test. Half an hour of one core.
"""

from __future__ import annotations

import argparse
import csv
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from midclass import (
    Cohort,
    ImageBatch,
    InputError,
    MiddleClassDetector,
    Prepared,
    Recipe,
    prepare,
)
from midclass.detectors.baselines.supervised import Oversampling
from midclass.detectors.judge import Judge, look, raw_scores
from midclass.detectors.known import known_log_odds
from midclass.evaluation.ranking import FloatArray
from midclass.files import new_text
from midclass.training.lesson import FORWARD_BATCH

HERE = Path(__file__).resolve().parent
suite_cases = runpy.run_path(str(HERE.parent / "witnesses" / "run.py"))["cases"]
"""Recipe, cases to learn from and cases to test, of a collection of the development suite."""
COLUMNS = (
    *("knowledge", "novelty", "probe"),
    *("network, given", "network, rest", "heads, given", "heads, rest"),
)
"""What the others say together; of the known cases the probe, and two that learned them as one
class more: its log-odds against the given class, and against all other classes."""
FEW = 5
"""So few are not oversampled."""


class Watched(MiddleClassDetector):
    """The method, which keeps the images that were held out."""

    def judge(self, *given: Any) -> Judge:
        """Chooses the checkpoint, with them."""
        made = super().judge(*given)
        self.held_out = made.select
        return made

    @torch.inference_mode()
    def columns(self, images: ImageBatch) -> FloatArray:
        """Of each image: ``(n, 7)``."""
        assert self.novelty_ is not None
        assert self.known_ is not None
        assert self.known_.separation is not None
        found = []
        for part in images.split(FORWARD_BATCH):
            maps = self.networks_.maps(part)
            outputs = look(self.networks_, part, maps)
            knows = self.combination_(raw_scores(outputs, part, self.given_))
            probe = self.known_.separation(self.novelty_.features(part, maps[1:]))
            said = [knows, self.novelty_(part, maps[1:])[0], probe.numpy()]
            for logits in (output.logits for output in outputs):
                said += [known_log_odds(logits, way).numpy() for way in ("given", "rest")]
            found.append(np.stack(said, 1))
        return np.concatenate(found)


def parts(test: Cohort, number: int, repeat: int) -> tuple[Cohort, Cohort]:
    """The known cases, and what is tested."""
    rng = np.random.default_rng([repeat, number, 7])
    ill = [case for case in test if case.label == 1]
    patients = rng.permutation(sorted({case.patient_id for case in ill})).tolist()
    half = patients[: len(patients) // 2]
    if number > len(half):
        raise InputError(f"{number} known cases, of which there are {len(half)}")
    known = []
    for patient in half[:number]:
        mine = [case for case in ill if case.patient_id == patient]
        known.append(mine[rng.integers(len(mine))])
    rest = [case for case in test if not (case.label == 1 and case.patient_id in set(half))]
    return replace(test, cases=tuple(known)), replace(test, cases=tuple(rest))


def asked(about: str | None) -> argparse.Namespace:
    """The collection, the number of known cases and the splitting, as typed."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("task")
    parser.add_argument("number", type=int)
    parser.add_argument("repeat", type=int)
    parser.add_argument("--data", type=Path, required=True)
    return parser.parse_args()


def samples(given: argparse.Namespace) -> tuple[Recipe, Prepared, Prepared, Prepared]:
    """The recipe, what is learned from, the known cases, and what is tested."""
    torch.set_num_threads(1)
    recipe, train, test = suite_cases(given.task, given.repeat, given.data)
    if given.task == "chest":
        recipe = Recipe.load("chest_xray")
    known, rest = parts(test, given.number, given.repeat)
    return (recipe, *(prepare(cohort, recipe) for cohort in (train, known, rest)))  # type: ignore[return-value]


def main() -> int:
    """Learn, and write what each says."""
    given = asked(__doc__)
    recipe, learned, positives, tested = samples(given)
    detector = Watched(recipe)
    detector.fit(learned, positives=positives, seed=given.repeat, max_fpr=0.1)
    scored = detector.by_plausible_anatomy(tested)
    rows = detector.assessable(scored)
    labels = [scored.cases.cases[scored.case_index[row]].label for row in rows]
    images = scored.batch(rows)
    if given.number > FEW:
        other = Oversampling(recipe)
        other.fit(learned, positives=positives, seed=given.repeat, max_fpr=0.1)
        with torch.inference_mode():
            said = torch.cat([other.score(part)[0] for part in images.split(FORWARD_BATCH)])
        oversampled = [f"{score:.5g}" for score in said.tolist()]
    else:
        oversampled = [""] * len(images)
    with new_text(HERE / "learned" / f"{given.task}_{given.number}_{given.repeat}.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "label", *COLUMNS, "oversampling"])
        for row in detector.columns(detector.held_out):
            writer.writerow(["held out", 0, *(f"{value:.5g}" for value in row), ""])
        for label, row, score in zip(labels, detector.columns(images), oversampled, strict=True):
            writer.writerow(["test", label, *(f"{value:.5g}" for value in row), score])
    return 0


if __name__ == "__main__":
    sys.exit(main())
