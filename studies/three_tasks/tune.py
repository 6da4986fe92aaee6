"""Choose the learning rate of each detector of the study without any target-class image.

    python studies/three_tasks/tune.py DATA [--jobs 2]

From the training part of repeat 0 a fifth of the given-class patients are set aside. Each detector
learns from the others with three learning rates in 100 steps, and is judged by how well it tells
the patients set aside from middle classes made of them: the baselines by the recipe's own, which
say what disease looks like; the method and its control, which learn from those or might, by the
recipe's held-out operators. ``tuning.csv`` has one row for each task, detector and rate; the
rate with the highest mean over the tasks goes into ``study.yaml`` (``--choice`` prints it). What is
done already is not done again.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from midclass.study_cell import Cell
from midclass.study_file import Study

HERE = Path(__file__).resolve().parent
FILE = HERE / "tuning.csv"
CACHE = HERE / "work" / "cache"
"""Prepared images, made once; may be removed."""
TASKS = ("chest_xray", "head_ct", "mammography_roi")
RATES = (7e-4, 2e-3, 6e-3)
STEPS = 100
OURS = ("middle_class", "middle_class_control")
LEARNED = (
    *OURS,
    "nsa",
    "cutpaste",
    "rotation",
    "perturbation",
    "constrained",
    "autoencoder",
    "denoising_autoencoder",
    "deep_svdd",
    "ganomaly",
)
Row = tuple[str, str, float, float]


def judged(cell: Cell, knowledge: dict[str, Any], rate: float) -> Row:
    """AUROC of a cell's detector with one learning rate, given class against middle classes.

    Args:
        cell: of repeat 0.
        knowledge: fields of the task's recipe.
        rate: to learn with.
    """
    import torch

    from midclass.fitting import detector_class
    from midclass.images.cohort import Cohort
    from midclass.images.prepare import prepare
    from midclass.metrics import auroc
    from midclass.recipe import Recipe
    from midclass.types import ImageBatch

    torch.set_num_threads(1)
    budget = {**cell.recipe["budget"], "learning_rate": rate, "steps": STEPS}
    recipe = Recipe.from_dict({**cell.recipe, "budget": budget}, source=cell.source)
    cohort = Cohort.from_manifest(cell.cohort, cell.split).part("train").given_class()
    parts = cohort.split_by_patient({"learn": 0.8, "judge": 0.2}, seed=1)
    detector = detector_class(cell.module)(recipe)
    detector.fit(prepare(parts["learn"], recipe, cache=CACHE), seed=0, max_fpr=0.2)

    judges = prepare(parts["judge"], recipe, cache=CACHE)
    images, rng = judges.batch(slice(None)), torch.Generator().manual_seed(0)
    known = Recipe.from_dict(knowledge)
    ours = cell.detector in OURS
    operators = known.held_out_operators() if ours else known.operators()
    given = detector.score_samples(judges)
    areas = []
    for operator in operators.values():
        middle = operator(images, rng)
        shown = ImageBatch(middle.pixels, images.anatomy, images.spacing_mm)
        visible = (middle.severity >= recipe.floor).numpy()
        scores = detector.score_samples(judges.showing(shown))
        label = np.repeat([0, 1], [len(given), visible.sum()])
        areas.append(auroc(label, np.concatenate([given, scores[visible]])))
    return cell.task, cell.detector, rate, float(np.mean(areas))


def done() -> dict[tuple[str, str, float], float]:
    """What ``tuning.csv`` says."""
    if not FILE.exists():
        return {}
    with open(FILE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {(r["task"], r["detector"], float(r["learning_rate"])): float(r["auroc"]) for r in rows}


def choice() -> dict[str, float]:
    """The best rate of each detector by its mean over the tasks.

    Where all are below chance, the best one is that which has learned least, and says nothing: then
    the rate of most others is taken.
    """
    found, best = done(), {}
    for name in LEARNED:
        if all((task, name, rate) in found for task in TASKS for rate in RATES):
            means = {rate: np.mean([found[task, name, rate] for task in TASKS]) for rate in RATES}
            rate = max(means, key=lambda rate: means[rate])
            best[name] = rate if means[rate] > 0.5 else RATES[-1]
    return best


def main() -> None:
    """Compute what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--choice", action="store_true", help="print the best rates and stop")
    asked = parser.parse_args()
    if asked.choice or asked.data is None:
        print(*(f"{name}: {rate:g}" for name, rate in choice().items()), sep="\n")  # noqa: T201
        return
    wanted = [(task, name, rate) for name in LEARNED for task in TASKS for rate in RATES]
    missing = [one for one in wanted if one not in done()]
    study = Study.load(HERE / "study.yaml").cells(asked.data)
    cells = {(cell.task, cell.detector): cell for cell in study if cell.repeat == 0}
    if not FILE.exists():
        FILE.write_text("task,detector,learning_rate,auroc\n", encoding="utf-8")
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [  # the recipe of a baseline such as nsa is the task's
            pool.submit(judged, cells[task, name], cells[task, "nsa"].recipe, rate)
            for task, name, rate in missing
        ]
        for future in as_completed(waiting):
            task, name, rate, area = future.result()
            with open(FILE, "a", encoding="utf-8") as file:
                file.write(f"{task},{name},{rate:g},{area:.4f}\n")


if __name__ == "__main__":
    main()
