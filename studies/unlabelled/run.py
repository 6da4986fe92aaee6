"""What unlabelled cases tell of a threshold: ``moves.csv``, ``official.csv`` and ``said.csv``.

    python studies/unlabelled/run.py

From scores on disk. Development (``studies/transfer``): half of the test normals calibrate, the
other half and drawn ill cases are another place, where all scores are moved, and stretched about
the median or not. One real move is the official chest test (``studies/shipped``): half of its
patients move the threshold, and the others are counted. What ``score`` would say without being
asked of every test of ``studies/shipped`` is in the third.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midclass import ScoreTable
from midclass.detectors.higher import TIMES
from midclass.evaluation.conformal import conformal_threshold
from midclass.evaluation.empirical_null import MOSTLY, Null, shift_interval

HERE = Path(__file__).resolve().parent
STUDIES = HERE.parent
MAX_FPR, SEED = 0.05, 0
DRAWS = 20
CASES = (50, 100, 400)
"""Unlabelled cases; normals and ill ones are drawn with replacement."""
ILL = (0.03, 0.2, 0.6)
MOVES = ((0.0, 1.0), (0.8, 1.0), (0.5, 1.3))
"""In half widths of the middle two thirds of the normals: how far, and how much wider."""
SPLITS = 200
Scores = NDArray[np.float64]


def rates(threshold: float, normal: Scores, ill: Scores) -> tuple[float, float]:
    """False alarms and sensitivity."""
    return float((normal > threshold).mean()), float((ill > threshold).mean())


def of_draws(normal: Scores, ill: Scores, cases: int, share: float, by: float, wider: float) -> Any:
    """Mean rates of the threshold of before, the moved one, and that of the normals there."""
    rng = np.random.default_rng(SEED)
    middle, unit = np.median(normal), np.subtract(*np.quantile(normal, (0.84, 0.16))) / 2
    found = []
    for _ in range(DRAWS):
        mixed = rng.permutation(normal)
        calibration, there = mixed[::2], middle + wider * (mixed[1::2] - middle) + by * unit
        ill_there = middle + wider * (ill - middle) + by * unit
        number = round(cases * share)
        unknown = np.append(rng.choice(there, cases - number), rng.choice(ill_there, number))
        before = conformal_threshold(calibration, max(MAX_FPR, 1 / (1 + len(calibration))))
        moved = before + Null.among(calibration, unknown).shift
        best = float(np.quantile(there, 1 - MAX_FPR))
        found.append([rates(one, there, ill_there) for one in (before, moved, best)])
    return np.mean(found, 0)


def development() -> Iterator[dict[str, Any]]:
    """Every collection, detector, repeat, number and share of cases, and move."""
    for file in sorted((STUDIES / "transfer" / "scores").glob("*/*/*.csv")):
        table = ScoreTable.read(file)
        seen = ~np.isnan(table.score)
        normal, ill = (table.score[seen & (table.label == label)] for label in (0, 1))
        for cases, share, (by, wider) in product(CASES, ILL, MOVES):
            before, moved, best = of_draws(normal, ill, cases, share, by, wider)
            yield {
                "task": file.parts[-3],
                "detector": file.parts[-2],
                "repeat": file.stem,
                "cases": cases,
                "ill": share,
                "by": by,
                "wider": wider,
                **figures(before, moved, best),
            }


def figures(before: Any, moved: Any, best: Any) -> dict[str, str]:
    """False alarms and sensitivity of three thresholds, by name."""
    named = {"before": before, "moved": moved, "best": best}
    return {
        f"{what}_{name}": f"{value:.4f}"
        for name, pair in named.items()
        for what, value in zip(("false_alarms", "sensitivity"), pair, strict=True)
    }


def calibration_of(file: Path) -> Scores:
    """The calibration scores as p-values tell them: how many lie above each score of the table."""
    with open(file, newline="", encoding="utf-8") as text:
        rows = [row for row in csv.DictReader(text) if row["p_value"]]
    scores, p_values = (
        np.array([float(row[name]) for row in rows]) for name in ("score", "p_value")
    )
    order = np.argsort(scores)
    scores, p_values = scores[order], p_values[order]
    number = round(1 / p_values.min()) - 1
    at = 1 - (np.arange(number) + 0.5) / (number + 1)
    return np.asarray(np.interp(at[::-1], p_values[::-1], scores[::-1])[::-1])


def official() -> Iterator[dict[str, Any]]:
    """Each detector and repeat on the official chest test, mean over splittings of its patients."""
    chest = Path("scores") / "chest_xray"
    files = {  # of a detector that has repeats, those
        file.parts[-2:]: file
        for study in ("shipped", "repeats")
        for file in (STUDIES / study / chest).glob("*/[0-9].csv")
    }
    for _, file in sorted(files.items()):
        table, rng = ScoreTable.read(file), np.random.default_rng(SEED)
        seen, names = ~np.isnan(table.score), np.unique(table.patient_id)
        before, calibration, found, normal = table.threshold[0], calibration_of(file), [], []
        for _ in range(SPLITS):
            drawn = np.isin(table.patient_id, rng.permutation(names)[::2])
            null = Null.among(calibration, table.score[seen & drawn])
            normal.append(null.normal)
            others = [table.score[seen & ~drawn & (table.label == label)] for label in (0, 1)]
            best = float(np.quantile(others[0], 1 - MAX_FPR))
            found.append([rates(one, *others) for one in (before, before + null.shift, best)])
        looks = {
            "normal": f"{(table.label[seen] == 0).mean():.4f}",
            "estimated": f"{np.mean(normal):.4f}",
        }
        name = {"detector": file.parts[-2], "repeat": file.stem}
        yield {**name, **looks, **figures(*np.mean(found, 0))}


def said() -> Iterator[dict[str, Any]]:
    """Every test of the three tasks: the share flagged of normal cases as told, and in truth."""
    for file in sorted((STUDIES / "shipped" / "scores").glob("*/*/0.csv")):
        table, calibration = ScoreTable.read(file), calibration_of(file)
        seen, threshold = ~np.isnan(table.score), table.threshold[0]
        moved = shift_interval(calibration, table.score[seen], table.patient_id[seen])
        told = [float((calibration > threshold - one).mean()) for one in moved]
        looks_normal = Null.among(calibration, table.score[seen]).normal >= MOSTLY
        truth, _ = rates(threshold, table.score[seen & (table.label == 0)], np.zeros(1))
        yield {
            "task": file.parts[-3],
            "detector": file.parts[-2],
            "calibration": len(calibration),
            **{name: f"{v:.4f}" for name, v in zip(("told", "low", "high"), told, strict=True)},
            "true": f"{truth:.4f}",
            "said": int(looks_normal and told[1] >= TIMES * MAX_FPR),
        }


def write(name: str, rows: Iterator[dict[str, Any]]) -> None:
    """A table of all rows."""
    all_rows = list(rows)
    with open(HERE / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(all_rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(all_rows)


if __name__ == "__main__":
    write("official.csv", official())
    write("said.csv", said())
    write("moves.csv", development())
