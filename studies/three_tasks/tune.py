"""Choose learning rate and scale of the intensities of each detector, without a target-class image.

    python studies/three_tasks/tune.py DATA [--jobs 2]

From the training part of repeat 0 a fifth of the given-class patients are set aside. Each detector
learns from the others with three learning rates in 100 steps, and is judged by how well it tells
the patients set aside from middle classes made of them: the baselines by the recipe's own, which
say what disease looks like; the method and its control, which learn from those or might, by the
recipe's held-out operators. Every baseline is also tried on a fixed scale where the recipe would
standardise each image; the method has the recipe's. ``tuning.csv`` has one row for each task,
detector, rate (empty for those that train no network) and scale; the pair with the highest mean
over the tasks goes into ``study.yaml`` (``--choice`` prints it). What is done already is not done
again.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from midclass.study.cell import Cell
from midclass.study.file import Study

HERE = Path(__file__).resolve().parent
FILE = HERE / "tuning.csv"
CACHE = HERE / "work" / "cache"
"""Prepared images, made once; may be removed."""
TASKS = ("chest_xray", "head_ct", "mammography_roi")
RATES = (7e-4, 2e-3, 6e-3)
SCALES = ("recipe", "fixed")
"""Of the intensities: the recipe's ``budget.standardise``, or [0, 1] to the same for all images."""
FIXED_BY_RECIPE = ("head_ct",)
"""Tasks whose recipe has the fixed scale itself."""
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
FITTED = (
    "one_class_svm",
    "pca",
    "nearest_neighbour",
    "mahalanobis",
    "nearest_neighbour_pretrained",
    "mahalanobis_pretrained",
    "intensity",
)
"""Detectors that train no network."""
Setting = tuple[str, str]
"""Learning rate, "" where there is none, and scale."""
Trial = tuple[str, str, Setting]
"""Task, detector, setting."""


def settings(detector: str) -> list[Setting]:
    """What is tried with a detector."""
    rates = [""] if detector in FITTED else [f"{rate:g}" for rate in RATES]
    scales = SCALES[:1] if detector in OURS else SCALES
    return [(rate, scale) for rate in rates for scale in scales]


def computed(trial: Trial) -> Trial:
    """The trial that says what becomes of this one: where both scales are the same, the first."""
    task, detector, (rate, _) = trial
    return (task, detector, (rate, SCALES[0])) if task in FIXED_BY_RECIPE else trial


def judged(cell: Cell, knowledge: dict[str, Any], setting: Setting) -> tuple[Trial, float]:
    """AUROC of a cell's detector with one setting, given class against middle classes.

    Args:
        cell: of repeat 0.
        knowledge: fields of the task's recipe.
        setting: learning rate and scale.
    """
    import torch

    from midclass import Cohort, ImageBatch, Recipe, prepare
    from midclass.detectors.catalogue import detector_class
    from midclass.evaluation.metrics import auroc

    torch.set_num_threads(1)
    rate, scale = setting
    budget = {**cell.recipe["budget"], "steps": STEPS}
    budget |= {"learning_rate": float(rate)} if rate else {}
    budget["standardise"] = scale == "recipe" and knowledge["budget"]["standardise"]
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
        both = np.concatenate([given, scores[visible]])
        seen = ~np.isnan(both)  # of the others nothing is known
        areas.append(auroc(label[seen], both[seen]))
    return (cell.task, cell.detector, setting), float(np.mean(areas))


def done() -> dict[Trial, float]:
    """What ``tuning.csv`` says."""
    if not FILE.exists():
        return {}
    with open(FILE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    trials = [(r["task"], r["detector"], (r["learning_rate"], r["scale"])) for r in rows]
    return dict(zip(trials, (float(row["auroc"]) for row in rows), strict=True))


def choice() -> dict[str, Setting]:
    """The best setting of each detector by its mean over the tasks.

    Where all are below chance, the best one is that which has learned least, and says nothing: then
    the rate of most others and the recipe's scale are taken.
    """
    found, best = done(), {}
    for name in (*LEARNED, *FITTED):
        trials = {s: [computed((task, name, s)) for task in TASKS] for s in settings(name)}
        if all(trial in found for each in trials.values() for trial in each):
            means = {s: np.mean([found[trial] for trial in each]) for s, each in trials.items()}
            setting = max(means, key=lambda s: means[s])
            best[name] = setting if means[setting] > 0.5 else (f"{RATES[-1]:g}", SCALES[0])
    return best


def main() -> None:
    """Compute what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--choice", action="store_true", help="print the best settings and stop")
    asked = parser.parse_args()
    if asked.choice or asked.data is None:
        print(*(f"{name}: {' '.join(s)}" for name, s in choice().items()), sep="\n")  # noqa: T201
        return
    names = (*FITTED, *LEARNED)
    wanted = [computed((t, name, s)) for name in names for t in TASKS for s in settings(name)]
    missing = [one for one in dict.fromkeys(wanted) if one not in done()]
    study = Study.load(HERE / "study.yaml").cells(asked.data)
    cells = {(cell.task, cell.detector): cell for cell in study if cell.repeat == 0}
    if not FILE.exists():
        FILE.write_text("task,detector,learning_rate,scale,auroc\n", encoding="utf-8")
    with ProcessPoolExecutor(asked.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [  # the recipe of a baseline such as nsa is the task's
            pool.submit(judged, cells[task, name], cells[task, "nsa"].recipe, setting)
            for task, name, setting in missing
        ]
        for future in as_completed(waiting):
            (task, name, (rate, scale)), area = future.result()
            with open(FILE, "a", encoding="utf-8") as file:
                file.write(f"{task},{name},{rate},{scale},{area:.4f}\n")


if __name__ == "__main__":
    main()
