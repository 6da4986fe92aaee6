"""The figures in the README and in docs are those of the score tables on disk."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from makers import command
from midclass import ScoreTable
from midclass.evaluation.report import auroc_of

STUDIES = Path(__file__).resolve().parents[1] / "studies"
STUDY = STUDIES / "first"
THREE = STUDIES / "three_tasks"


@pytest.mark.slow
@pytest.mark.parametrize(
    "study",
    [
        "first",
        "ablation",
        "nuisance",
        "three_tasks",
        "few",
        "judge",
        "phantoms",
        "positives",
        "repeats",
        "witnesses",
        "shipped",
        "suite",
        "tiles",
        "ultrasound",
        "unlabelled",
    ],
)
def test_the_documents_say_what_the_score_tables_say(
    study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = str(STUDIES / study / "table.py")
    monkeypatch.setattr(sys, "argv", [table, "--check"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(table, run_name="__main__")
    assert ended.value.code == 0


@pytest.mark.parametrize("task", ["chest_xray", "head_ct", "mammography_roi"])
def test_method_and_control_were_scored_on_the_same_cases(task: str) -> None:
    method, control = (
        ScoreTable.read(STUDY / "scores" / task / detector / "0.csv")
        for detector in ("middle_class", "middle_class_control")
    )
    assert method.case_id.tolist() == control.case_id.tolist()
    assert method.label.tolist() == control.label.tolist()


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        # RSNA: .861 and .675 (MedIAnomaly: Cai et al., Med Image Anal, 2025, trained from scratch).
        ("denoising_autoencoder", "autoencoder"),
        # NIH: .940 and .598 (Schlueter et al., "Natural Synthetic Anomalies", ECCV 2022).
        ("nsa", "cutpaste"),
    ],
)
def test_baselines_on_chest_x_rays_come_in_the_published_order(better: str, worse: str) -> None:
    def area(detector: str, repeat: int) -> float:
        table = ScoreTable.read(THREE / "scores" / "chest_xray" / detector / f"{repeat}.csv")
        return auroc_of(table)

    means = [sum(area(detector, repeat) for repeat in range(5)) for detector in (better, worse)]
    assert means[0] > means[1]


@pytest.mark.slow
@pytest.mark.parametrize(  # the others: `make reports`
    ("study", "ours"),
    [
        ("positives", "middle_class_5"),
        ("shipped", "middle_class"),
        pytest.param("transfer", "middle_class", marks=pytest.mark.thorough),
    ],
)
def test_a_report_says_what_the_score_tables_say(study: str, ours: str) -> None:
    file = str(STUDIES / study / "study.yaml")
    done = command(["report", file, "--ours", ours, "--check"], Path())
    assert done.returncode == 0, done.stderr
