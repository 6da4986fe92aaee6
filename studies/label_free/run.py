"""Does choosing without labels help? Score tables of the last step and of the chosen one.

    python studies/label_free/run.py DATA WORK

One training for each task and repeat; its checkpoints are scored on the test cases in three ways:

``last_log_odds``  the last step, log-odds alone: what one gets without any choice
``last_combined``  the last step, the combination of scores chosen with held-out operators
``chosen``         checkpoint and combination chosen with held-out operators: what ``fit`` does
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from midclass import Cohort, MiddleClassDetector, Recipe, prepare
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.image_scores import Combination
from midclass.detectors.judge import Choice
from midclass.detectors.parts import HELD_OUT

HERE = Path(__file__).resolve().parent
TASKS = {
    "chest_xray": ("chest_xray", "kermany_cxr/manifest.csv", "split"),
    "head_ct": ("head_ct", "ct_ich/manifest.csv", "splits.csv:repeat_{repeat}"),
    "mammography_roi": ("mammography", "mini_mias/rois.csv", "repeat_{repeat}"),
}
REPEATS = 3
SIZE = (96, 96)
BUDGET = {"steps": 300, "batch": 24, "checkpoints": 6, "pretrained": None}


def alone(choice: Choice, name: str) -> Choice:
    """The same scores, of which only one counts."""
    combination = choice.combination
    one = Combination((name,), combination.centre, combination.spread)
    return Choice(choice.given, one, choice.figure, choice.figures)


def run(task: str, repeat: int, data: Path, work: Path) -> None:
    """Train once, write three score tables."""
    name, manifest, split = TASKS[task]
    fields = Recipe.load(name).to_dict()
    fields["geometry"]["size"] = SIZE
    fields["budget"].update(BUDGET)
    recipe = Recipe.from_dict(fields)
    cohort = Cohort.from_manifest(data / manifest, split.replace("{repeat}", str(repeat)))
    given, test = prepare(cohort.part("train").given_class(), recipe), cohort.part("test")
    folder = work / task / str(repeat)
    detector = MiddleClassDetector(recipe)
    detector.fit(given, seed=repeat, workdir=folder)
    states = torch.load(folder / "training.pt", weights_only=True)["states"]
    parts = {k: given.subset(v) for k, v in given.cases.split_by_patient(HELD_OUT, repeat).items()}
    judge = detector.judge(parts["train"], parts["select"], repeat)
    prepared = prepare(test, recipe)
    best = detector.history_["best"]
    for way, index in (("last_log_odds", -1), ("last_combined", -1), ("chosen", best)):
        detector.networks_.load_state_dict(states[index])
        choice = judge.choose(detector.networks_)
        choice = alone(choice, "log_odds") if way == "last_log_odds" else choice
        detector.given_, detector.combination_ = choice.given, choice.combination
        detector.calibrate(parts["calibrate"])
        table = score_table(detector, prepared, slices=True)
        table.write(HERE / "scores" / task / way / f"{repeat}.csv")
    shutil.rmtree(folder)


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    arguments = parser.parse_args()
    for repeat in range(REPEATS):
        for task in TASKS:
            if not (HERE / "scores" / task / "chosen" / f"{repeat}.csv").exists():
                run(task, repeat, arguments.data, arguments.work)


if __name__ == "__main__":
    main()
