"""What do folds promise and find with 60 given-class cases? Score tables of redrawn splits.

    python studies/few/run.py DATA [--task TASK] [--detector NAME] [--redraws N] [--cache FOLDER]

DATA holds ``head_ct``, ``chest_ct``, ``brain_mr`` and ``fundus`` with a manifest each. All their
given-class cases are put together; each redraw takes 60 at random, by patient, to fit with. The
others, and the target class without these patients, are scored, at most 100 of each class.

The detector is fitted twice with the same cases: in folds with ``max_fpr`` .05, which gives the
columns of every score table; and with the usual fifth held out and the lowest rate that these cases
can promise, which gives the columns ``split_score`` and ``split_threshold``. ``units`` is the mean
of the folds' scores in units of their calibration scores: a score that was not taken.

What was computed is kept; stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from midclass import Cohort, Prepared, Recipe, prepare
from midclass.detectors.catalogue import detector_class
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.look import case_scores
from midclass.detectors.parts import parted
from midclass.evaluation.cross_conformal import in_units

HERE = Path(__file__).resolve().parent
CASES, SCORED, REDRAWS, RATE = 60, 100, 20, 0.05
SHORT = {"steps": 40, "batch": 16, "checkpoints": 2}
TRAINED = {"middle_class": [64, 64]}
"""Detectors that train a network, with the size of images on which they do it here."""
TASKS = {
    "head_ct": {"anatomy": "anatomy.foreground"},
    "chest_ct": {"anatomy": "anatomy.whole", "crop": None},
    "brain_mr": {},
    "fundus": {},
}
"""Of the shipped recipes, what is changed: what every image of the collection has."""
DETECTORS = ("one_class_svm", "intensity", "mahalanobis")


def recipe_of(task: str, detector: str) -> Recipe:
    """The shipped recipe with its changes and, for what is trained, small images and few steps."""
    of_then = HERE.parent / "transfer" / f"{task}.yaml"  # recipes that have changed since
    recipe = Recipe.load(of_then if of_then.exists() else task)
    fields, change = recipe.to_dict(), dict(TASKS[task])
    if "crop" in change:
        fields["geometry"]["crop"] = change.pop("crop")
    fields["budget"]["pretrained"] = None  # untrained features, as when it was computed
    if detector in TRAINED:
        fields["geometry"]["size"] = TRAINED[detector]
        fields["budget"].update(SHORT)
    return Recipe.from_dict(fields | change)


def redrawn(pool: Cohort, seed: int) -> tuple[Cohort, Cohort]:
    """60 given-class cases of as many patients as it takes, and the cases to score."""
    rng = np.random.default_rng(seed)
    given = pool.given_class()
    place = {patient: k for k, patient in enumerate(rng.permutation(given.patients))}
    order = np.argsort([place[case.patient_id] for case in given], kind="stable")
    last = place[given[int(order[CASES - 1])].patient_id]
    fit = given[[place[case.patient_id] <= last for case in given]]
    rest = pool[[place.get(case.patient_id, len(place)) > last for case in pool]]
    some = [rng.permutation(np.flatnonzero(rest.labels == label))[:SCORED] for label in (0, 1)]
    return fit, rest[np.sort(np.concatenate(some))]


def run(task: str, name: str, redraw: int, pool: Prepared, out: Path) -> None:
    """Fit in folds and with a part held out, and write one score table."""
    recipe, (fit, test) = recipe_of(task, name), redrawn(pool.cases, redraw)
    given, unseen = pool.subset(fit), pool.subset(test)
    folded = detector_class(name)(recipe).fit(given, seed=redraw, max_fpr=RATE)
    assert folded.folds_ is not None
    table = score_table(folded, unseen)
    single = detector_class(name)(recipe)
    held_out = given.subset(parted(fit, (), redraw)["calibrate"])
    lowest = 1 / (1 + len(held_out.cases) - len(single.reasons(held_out)))
    single.fit(given, seed=redraw, max_fpr=lowest, folds=0)
    by_fold = case_scores(folded.looks(unseen), unseen).alone
    units = np.full(len(table), np.nan)
    units[table.assessed] = in_units(folded.folds_.calibrations, by_fold[table.assessed])
    extra = {
        "p_value": table.extra["p_value"].round(6),
        "units": units.round(6),
        "split_score": single.score_samples(unseen).round(6),
        "split_threshold": np.full(len(table), round(single.threshold_, 6)),
        "split_rate": np.full(len(table), round(lowest, 6)),
    }
    replace(table, score=table.score.round(6), extra=extra).write(out)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--task", choices=TASKS, action="append")
    parser.add_argument("--detector", action="append")
    parser.add_argument("--redraws", type=int, default=REDRAWS)
    parser.add_argument("--cache", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for task in asked.task or TASKS:
        cohort = Cohort.from_manifest(asked.data / task / "manifest.csv")
        for detector in asked.detector or DETECTORS:
            pool = prepare(cohort, recipe_of(task, detector), cache=asked.cache)
            for redraw in range(asked.redraws):
                out = HERE / "scores" / task / detector / f"{redraw}.csv"
                if not out.exists():
                    run(task, detector, redraw, pool, out)


if __name__ == "__main__":
    main()
