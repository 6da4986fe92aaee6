"""The report of a study: every number is that of the score tables, and what is missing is said."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from midclass.errors import InputError
from midclass.images import phantoms
from midclass.metrics import auroc
from midclass.results import ScoreTable
from midclass.study_file import Study
from midclass.study_report import report
from midclass.study_results import Results

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
STUDY = """\
name: made_up
summary: A study of made-up scores
repeats: 2
tasks:
  first: {recipe: phantoms, cohort: a.csv, title: First task}
  second: {recipe: phantoms, cohort: b.csv}
detectors:
  middle_class: {title: middle classes}
  pca: {detector: pca}
  svm: {detector: one_class_svm, tasks: [first]}
  with_5: {positives: 5}
  weighted_5: {detector: supervised.Weighted, positives: 5}
  weighted_20: {detector: supervised.Weighted, positives: 20}
"""
SHIFTS = {"middle_class": 2.0, "pca": 0.5, "svm": 1.0, "with_5": 2.2, "weighted_5": 1.2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study with all its score tables."""
    (tmp_path / "study.yaml").write_text(STUDY)
    study = Study.load(tmp_path / "study.yaml")
    for task in study.tasks:
        for name in study.detectors_of(task):
            for repeat in range(2):
                table = scores(SHIFTS.get(name, 1.8), task, repeat, name)
                table.write(tmp_path / "scores" / task / name / f"{repeat}.csv")
    (tmp_path / "log.csv").write_text('first/pca/0,7200,""\nfirst/pca/1,99,"broken"\n')
    return tmp_path


def scores(shift: float, task: str, repeat: int, name: str, n: int = 100) -> ScoreTable:
    label = np.arange(n) % 2
    rng = np.random.default_rng([*task.encode(), repeat, *name.encode()])
    score = rng.normal(size=n) + shift * label
    cases, patients = [f"c{i}" for i in range(n)], [f"p{i}" for i in range(n)]
    return ScoreTable.of(cases, patients, label, score, threshold=1.6)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "midclass", "report", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_report_holds_the_figures_of_the_tables_and_notices_when_they_change(
    folder: Path,
) -> None:
    done = run(folder / "study.yaml")
    assert done.returncode == 0, done.stderr
    text = (folder / "RESULTS.md").read_text()
    areas = [
        auroc(t.label, t.score)
        for t in (ScoreTable.read(p) for p in (folder / "scores/first/pca").glob("*.csv"))
    ]
    row = next(line for line in text.splitlines() if line.startswith("| pca |"))
    assert f"{np.mean(areas):.3f}".removeprefix("0") in row
    assert "First task" in text
    assert "2.0 hours" in text  # of the cells that were done
    assert "corrected for 3 comparisons" in text
    for picture in ("auroc_first.svg", "auroc_second.svg", "positives.svg"):
        assert (folder / picture).stat().st_size > 3000
        assert picture in text
    assert run(folder / "study.yaml", "--check").returncode == 0
    scores(0.0, "first", 0, "other").write(folder / "scores/first/pca/0.csv")
    changed = run(folder / "study.yaml", "--check")
    assert changed.returncode == 1
    assert "does not say what the score tables say" in changed.stderr + changed.stdout
    assert (folder / "RESULTS.md").read_text() == text


def test_what_is_not_assessed_is_counted_and_raises_the_level_of_chance(folder: Path) -> None:
    """Given-class cases alone score -inf, ten of fifty: .5 + .5 * .2 by that alone."""
    for path in (folder / "scores" / "first").rglob("*.csv"):
        table = ScoreTable.read(path)
        score = np.where((np.arange(100) < 20) & (table.label == 0), -np.inf, table.score)
        ScoreTable.of(
            table.case_id.tolist(), table.patient_id.tolist(), table.label, score, threshold=1.6
        ).write(path)
    assert run(folder / "study.yaml").returncode == 0
    text = (folder / "RESULTS.md").read_text()
    assert "Chance is .5, but .600 in First task, see there." in text
    assert "On average 10 cases of the given and 0 of the target class show too little" in text
    tables = [ScoreTable.read(path) for path in (folder / "scores/first/pca").glob("*.csv")]
    assessed = [np.isfinite(table.score) for table in tables]
    alone = [auroc(t.label[a], t.score[a]) for t, a in zip(tables, assessed, strict=True)]
    row = next(line for line in text[text.index("## First task") :].splitlines() if "| pca" in line)
    assert f"| {np.mean(alone):.3f} |".replace("0.", ".") in row
    assert text.count("AUROC of assessed cases") == 1  # the second task has all its cases


def test_the_report_says_how_small_a_p_value_it_can_show(folder: Path) -> None:
    run(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    assert "corrected for 3 comparisons (Holm); 10000 resamples cannot show one below .001" in text


def test_the_same_tables_give_the_same_bytes(folder: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.glob("*.*")}

    report(folder / "study.yaml")
    first = files()
    report(folder / "study.yaml")
    assert files() == first


def test_a_detector_with_positives_is_not_ranked_with_those_without(folder: Path) -> None:
    results = Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=200)
    assert set(results.ranks) == {"middle_class", "pca"}  # the svm lacks a task
    assert results.ranks["middle_class"] == 1
    assert set(results.differences) == {("first", "pca"), ("first", "svm"), ("second", "pca")}
    curve = results.curve("first")
    assert list(curve["middle_class"]) == [0, 5]
    assert list(curve["supervised.Weighted"]) == [5, 20]
    assert curve["middle_class"][0] == results.compared["first"].estimate("middle_class")


def test_a_missing_cell_is_named_and_its_detector_left_out(folder: Path) -> None:
    (folder / "scores/second/pca/1.csv").unlink()
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    assert "1 cells have no score table" in text
    assert "second/pca/1" in text
    assert text.count("| pca |") == 2  # in the overview and in the first task


def test_a_study_without_our_scores_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"'midle_class' \(did you mean 'middle_class'"):
        report(folder / "study.yaml", ours="midle_class")
    for path in (folder / "scores").rglob("middle_class/0.csv"):
        path.unlink()
    with pytest.raises(InputError, match="no task has all repeats of middle_class"):
        report(folder / "study.yaml")


def test_a_detector_of_the_user_s_own_is_one_file_named_in_the_study(tmp_path: Path) -> None:
    for name in ("study.yaml", "template.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    text = (tmp_path / "study.yaml").read_text()
    assert "steps: 60" in text
    (tmp_path / "study.yaml").write_text(text.replace("steps: 60", "steps: 6"))
    phantoms.write(tmp_path / "data", "breast", 0, 120, 20, size=64)
    command = [sys.executable, "-m", "midclass", "study", "study.yaml", "--data", "data"]
    done = subprocess.run(
        [*command, "--trust", "template.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = run(tmp_path / "study.yaml", "--ours", "template")
    assert written.returncode == 0, written.stderr
    text = (tmp_path / "RESULTS.md").read_text()
    assert "**a template of one's own**" in text
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
