"""Evaluations to make pages of, without a detector: scores and pictures of made-up cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from midclass import ScoreTable, report
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.page.pictures import new_pictures
from midclass.evaluation.panel import Panel
from midclass.evaluation.patients import patient_table
from midclass.owned import write_list

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&{{ 7*7 }}"
"""What would run, or draw, wherever it is not escaped."""


def table(
    n: int = 80, name: Callable[[int], str] = "case {}".format, unseen: int = 3
) -> ScoreTable:
    """Cases of 40 patients, two classes in turn, the first few not assessed."""
    rng = np.random.default_rng(0)
    label = np.arange(n) % 2
    score = rng.normal(2.0 * label)
    score[:unseen] = np.nan
    p_value = np.where(np.isnan(score), np.nan, (1 + np.round(99 / (1 + np.exp(score)))) / 101)
    return ScoreTable.of(
        [name(i) for i in range(n)],
        [f"patient {i % 40}" for i in range(n)],
        label,
        score,
        threshold=1.5,
        class_name=np.where(label == 1, np.where(np.arange(n) % 4 == 1, "mass", "node"), "normal"),
        extra={"p_value": np.where(score > 1.5, 0.02, np.maximum(p_value, 0.06))},
        reason=["small: 3 mm2" if np.isnan(one) else "" for one in score],
    )


def about(**recipe: Any) -> dict[str, Any]:
    told = {
        "name": "small",
        "summary": "discs",
        "given_class": "normal chest",
        "target_class": "disease",
        "knowledge": [
            {"name": "ball", "kind": "middle class", "made_of": "f", "why": "seen", "how": "5 mm"}
        ],
        "geometry": "the whole image",
        "anatomy": "anatomy.whole",
        "accepts": "",
        "nuisance": "gain 0.9 to 1.1",
    }
    return {
        "id": "ab12",
        "midclass": "0.1.0",
        "cases": {"train": 60, "calibrate": 100},
        "patients": {"train": 60, "calibrate": 100},
        "not_assessed": {"train": 0, "calibrate": 0},
        "calibrated": {"cases": 100, "patients": 100},
        "heat": {"begins": 0.5, "rate": 0.05},
        "folds": 0,
        "makes_heat_maps": True,
        "histories": [{"step": [1, 2], "loss": [2.0, 1.5], "validation": [0.6, 0.7], "best": 1}],
        "recipe": told | recipe,
    }


LOCALISATION = {
    "lesions": 25,
    "given": 40,
    "not_assessed": 2,
    "apart_mm": 4.0,
    "hit": {
        "0.1": {"value": 0.36, "low": 0.18, "high": 0.5753, "level": 0.7},
        "0.3": {"value": 0.6, "low": 0.3867, "high": 0.7887, "level": 0.4},
        "1": {"value": 0.64, "low": 0.425, "high": 0.82, "level": None},
    },
}
"""What a summary says where the manifest has radii."""


def evaluation(folder: Path, scores: ScoreTable, told: dict[str, Any] | None = None) -> Path:
    """The folder of an evaluation with these scores, and a picture of each of the first cases."""
    folder.mkdir()
    scores.write(folder / "scores.csv")
    figures = report(scores, 0.05)
    figures |= {"detector": "lungs", "cohort": "cases.csv [test]", "near_copies_of_fitted": []}
    figures["promised"] = {"max_fpr": 0.05, "low": 0.02, "high": 0.1}
    known = CalibratedPatients(np.linspace(-1, 2, 40))
    patient_table(scores, known, 0.05).write(folder / "patients.csv")
    made = {"date": "2026-11-28T10:00:00+00:00", "midclass": "0.1.0", "versions": {}}
    run = {"detector": told or about(), "evaluation": made}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "summary.json").write_text(json.dumps(figures))
    rng = np.random.default_rng(1)
    with new_pictures(folder) as pictures:
        for case in scores.case_id[:12]:
            heat = np.zeros((16, 16))
            heat[4:8, 4:8] = 0.99
            pictures.add(case, Panel(rng.random((1, 16, 16)), heat=heat), HeatScale())
    write_list(folder)
    return folder
