"""The report of a study: every number is that of the score tables, and what is missing is said."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from makers import command
from midclass import InputError, ScoreTable
from midclass.cli.commands.report import run as report
from midclass.evaluation.metrics import auroc
from midclass.evaluation.report import bounds
from midclass.images import phantoms
from midclass.study.file import Study
from midclass.study.markdown import figure, percent, signed
from midclass.study.page import html
from midclass.study.report import alarms, markdown
from midclass.study.results import Results
from midclass.version import __version__

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


def add(folder: Path, **shifts: float) -> None:
    """Score tables of further detectors in both tasks."""
    for name, shift in shifts.items():
        for task, repeat in product(("first", "second"), range(2)):
            table = scores(shift, task, repeat, name)
            table.write(folder / "scores" / task / name / f"{repeat}.csv")


def without_anatomy(path: Path, cases: range) -> None:
    """Given-class cases among these are not assessed."""
    table = ScoreTable.read(path)
    score = np.where(np.isin(np.arange(100), cases) & (table.label == 0), np.nan, table.score)
    who = table.case_id.tolist(), table.patient_id.tolist()
    reasons = np.where(np.arange(100) < 4, "cannot be used: cut off", "no anatomy found: 3 mm2")
    reason = np.where(np.isnan(score), reasons, "")
    ScoreTable.of(*who, table.label, score, threshold=1.6, reason=reason).write(path)


def scores(shift: float, task: str, repeat: int, name: str, n: int = 100) -> ScoreTable:
    label = np.arange(n) % 2
    rng = np.random.default_rng([*task.encode(), repeat, *name.encode()])
    score = rng.normal(size=n) + shift * label
    cases, patients = [f"c{i}" for i in range(n)], [f"p{i}" for i in range(n)]
    return ScoreTable.of(cases, patients, label, score, threshold=1.6)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return command(["report", *map(str, arguments)], Path())


@pytest.mark.slow
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
    (folder / "page.html").unlink()  # no part of what is compared
    assert run(folder / "study.yaml", "--check").returncode == 0
    scores(0.0, "first", 0, "other").write(folder / "scores/first/pca/0.csv")
    changed = run(folder / "study.yaml", "--check")
    assert changed.returncode == 1
    assert "does not say what the score tables say" in changed.stderr + changed.stdout
    assert (folder / "RESULTS.md").read_text() == text


def test_what_is_not_assessed_is_said_with_what_it_could_change(folder: Path) -> None:
    """Ten of fifty given-class cases have no score: figures are of the others."""
    for path in (folder / "scores" / "first").rglob("*.csv"):
        without_anatomy(path, range(20))
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    tables = [ScoreTable.read(p) for p in sorted((folder / "scores/first/pca").glob("*.csv"))]
    alone = [auroc(t.label[t.assessed], t.score[t.assessed]) for t in tables]
    low, high = np.mean([bounds(table)["auroc"] for table in tables], 0)
    assert low < np.mean(alone) < high
    row = next(line for line in text[text.index("## First task") :].splitlines() if "| pca" in line)
    assert f"| pca | {np.mean(alone):.3f} (".replace("0.", ".") in row
    assert f"| 20.0 % / 0.0 % | {figure(low)} to {figure(high)} |" in row
    said = (
        "Figures are of assessed cases. middle classes did not assess 20.0 % of the given and 0.0 "
        "% of the target class (no anatomy found, cannot be used); whatever they would score, its"
    )
    main, positives = text.split("## With a few positives")
    assert main.count(said) == positives.count(said) == 1
    assert text.count("AUROC whatever they would score") == 1  # the second task has all its cases
    assert "Detectors did not assess the same cases" not in text


def test_detectors_are_compared_on_the_cases_that_all_assessed(folder: Path) -> None:
    """What pca alone left out was easy for ours; the difference is of what both looked at."""
    for path in (folder / "scores" / "first").rglob("*.csv"):
        without_anatomy(path, range(40) if path.parent.name == "pca" else range(20))
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    said = "Detectors did not assess the same cases: differences and ranks are of those that all"
    assert text.count(said) == 2  # with the other detectors, and with positives
    results = Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=200)
    areas = {}
    for name in ("middle_class", "pca"):
        tables = [ScoreTable.read(p) for p in (folder / "scores" / "first" / name).glob("*.csv")]
        shared = [(t.label == 1) | (np.arange(100) >= 40) for t in tables]
        pairs = zip(tables, shared, strict=True)
        areas[name] = np.mean([auroc(t.label[rows], t.score[rows]) for t, rows in pairs])
    ours = results.compared["first"].estimate("middle_class").value
    assert ours != areas["middle_class"]
    found = results.differences["first", "pca"]
    assert found.value == pytest.approx(areas["middle_class"] - areas["pca"])
    assert found.low <= found.value <= found.high


def test_a_rate_that_its_detector_only_aimed_at_is_called_no_promise(folder: Path) -> None:
    """What stands beside a score table says so; the CT of few patients with many slices."""
    few = {"max_fpr": 0.05, "low": 0.0, "high": 0.4, "independent": 9.0, "needed": 19}
    enough = few | {"independent": 40.0}
    for name, promise in (("pca", few), ("svm", enough)):
        beside = folder / "scores" / "first" / name / "1.provenance.json"
        beside.write_text(json.dumps({"detector": {"promise": promise}}))
    (folder / "scores/second/pca/0.provenance.json").write_text("no json")
    results = Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=50)
    first, second = markdown(results, folder).split("## First task")[1].split("## second")
    said = "the rate is an aim and no promise of pca; the cases"
    assert said in " ".join(first.split())
    assert "an aim and no promise" not in second
    assert "% promised" not in first
    assert said in " ".join(html(results, folder).split())


def test_tables_of_other_images_are_not_compared(folder: Path) -> None:
    def said(name: str, repeat: int, images: str) -> None:
        beside = folder / "scores" / "first" / name / f"{repeat}.provenance.json"
        beside.write_text(json.dumps({"images": images}))

    def read() -> Results:
        return Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=50)

    said("middle_class", 0, "a")
    said("middle_class", 1, "b")  # each repeat has its own
    said("pca", 1, "b")  # of svm nothing is known
    read()
    said("pca", 0, "c")
    with pytest.raises(InputError, match=r"middle_class/0\.csv and .*pca/0\.csv are of other imag"):
        read()


def test_a_study_of_one_detector_has_its_figures_without_comparisons(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY.split("  pca:")[0])
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    results = Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=200)
    value = results.compared["first"].estimate("middle_class").value
    assert text.count(f"{value:.3f}".removeprefix("0")) == 2  # in the overview and in the task
    assert "## First task" in text
    assert "| detector | First task | second |" in text
    for word in ("Rank", "minus it", "corrected"):
        assert word not in text
    assert (folder / "auroc_first.svg").exists()


def test_a_study_of_one_detector_and_positives_has_its_figures(folder: Path) -> None:
    more = "  with_5: {positives: 5}\n"
    (folder / "study.yaml").write_text(STUDY.split("  pca:")[0] + more)
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    assert "| detector | First task | second |" in text
    assert "## With a few positives" in text


def test_a_detector_with_positives_is_compared_with_a_single_one_without(folder: Path) -> None:
    (folder / "study.yaml").write_text(
        STUDY.split("  middle_class:")[0] + "  pca: {detector: pca}\n"
    )
    with (folder / "study.yaml").open("a") as file:
        file.write("  with_5: {positives: 5}\n")
    report(folder / "study.yaml", ours="with_5")
    text = (folder / "RESULTS.md").read_text()
    lines = [line for line in text.split("## First task")[1].splitlines() if line.startswith("|")]
    assert "AUROC of with 5 minus it" in lines[0]
    assert {line.count("|") for line in lines[:3]} == {lines[0].count("|")}


def test_a_task_without_our_scores_is_named(folder: Path) -> None:
    text = (folder / "study.yaml").read_text()
    more = "  third: {recipe: phantoms, cohort: c.csv, title: Third task}\ndetectors:"
    ours = "middle_class: {tasks: [first, second], "
    changed = text.replace("detectors:", more).replace("middle_class: {", ours)
    (folder / "study.yaml").write_text(changed)
    (folder / "scores/second/middle_class/1.csv").unlink()
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    assert "**Left out**: second, because middle classes lacks a score table of it." in text
    assert "**Left out**: Third task, because middle classes is not run on it." in text


@pytest.mark.slow
def test_a_title_is_written_as_the_user_wrote_it(folder: Path) -> None:
    text = (folder / "study.yaml").read_text()
    (folder / "study.yaml").write_text(text.replace("First task", "'A & B < {{ C }}'"))
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    assert "\n## A & B < {{ C }}\n" in text
    assert "| detector | A & B < {{ C }} | second | rank |" in text


@pytest.mark.slow
def test_the_report_says_which_versions_computed_the_tables(folder: Path) -> None:
    old = 'first/pca/0,7200,""\nfirst/pca/1,99,"",hash\nfirst/svm/0,9,bug,hash,0.0.9\n'
    gone = "first/renamed/0,3600,,hash,0.0.8\n"
    (folder / "log.csv").write_text(f"{old}\n{gone}second/pca/0,1,,hash,0.0.8\nsecond/pca/1,2")
    report(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    tables = "2 by a version not in the log, 1 by midclass 0.0.8"
    assert text.endswith(f"Score tables: {tables}. This page: by midclass {__version__}.\n")
    assert "3 cells took 2.0 hours" in text


def test_a_score_table_of_one_class_is_named(folder: Path) -> None:
    path = folder / "scores" / "second" / "pca" / "1.csv"
    table = scores(1.0, "second", 1, "pca")
    who = table.case_id.tolist(), table.patient_id.tolist()
    ScoreTable.of(*who, np.zeros(100, int), table.score).write(path)
    with pytest.raises(InputError, match=re.escape(f"{path}: its cases are not of both classes")):
        report(folder / "study.yaml")


@pytest.mark.slow
def test_the_report_says_how_small_a_p_value_it_can_show(folder: Path) -> None:
    run(folder / "study.yaml")
    text = (folder / "RESULTS.md").read_text()
    assert "corrected for 3 comparisons (Holm); 10000 resamples cannot show one below .0006" in text


@pytest.mark.slow
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
    curve = {results.study.kind_title(kind): line for kind, line in results.curve("first").items()}
    assert {title: list(line) for title, line in curve.items()} == {
        "middle classes": [0, 5],
        "supervised.Weighted": [5, 20],
    }
    assert curve["middle classes"][0] == results.compared["first"].estimate("middle_class")


def test_with_known_cases_ours_is_compared_with_those_that_learned_from_as_many(
    folder: Path,
) -> None:
    results = Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=500)
    fives = {(task, "weighted_5") for task in ("first", "second")}
    assert set(results.known_differences) == fives  # ours has not learned from 20
    for task, other in fives:
        found = results.known_differences[task, other]
        alone = results.compared[task].difference("with_5", other)
        assert found[:4] == alone[:4]
        assert alone.p_value <= found.corrected <= 2 * alone.p_value  # two of them
    title = "supervised.Weighted"
    value = results.known_differences["first", "weighted_5"]
    row = f"| {title} | {signed(value.value)} ({signed(value.low)} to {signed(value.high)}), p "
    assert "| middle classes minus | 5 |" in markdown(results, folder)
    assert row in markdown(results, folder)
    assert "corrected for 2 comparisons (Holm)" in markdown(results, folder)
    page = html(results, folder)
    assert f"{value.value:+.3f}<span" in page.partition("middle classes minus")[2]


def test_by_whichever_entry_ours_is_named_its_known_cases_are_compared(folder: Path) -> None:
    study = Study.load(folder / "study.yaml")
    named = [Results.of(study, folder, ours, resamples=200) for ours in ("middle_class", "with_5")]
    assert named[0].known_differences == named[1].known_differences
    alone = Results.of(study, folder, "pca", resamples=200)
    assert not alone.known_differences
    assert "minus | 5" not in markdown(alone, folder)
    assert " minus</th>" not in html(alone, folder)


@pytest.mark.parametrize(
    "differs",
    [
        'recipe: "{recipe}_control"',
        "change: {budget: {steps: 9}}",
        "only: [mass]",
        "without: [mass]",
    ],
)
def test_detectors_that_differ_in_more_than_positives_have_curves_of_their_own(
    folder: Path, differs: str
) -> None:
    file = folder / "study.yaml"
    more = f"  other: {{{differs}, title: another}}\n  other_5: {{{differs}, positives: 5}}\n"
    file.write_text(file.read_text() + more)
    add(folder, other=0.2, other_5=0.3)
    results = Results.of(Study.load(file), folder, "middle_class", resamples=200)
    curve = {results.study.kind_title(kind): line for kind, line in results.curve("first").items()}
    assert list(curve) == ["middle classes", "supervised.Weighted", "another"]
    for title, names in (("middle classes", "middle_class with_5"), ("another", "other other_5")):
        expected = [results.compared["first"].estimate(name) for name in names.split()]
        assert list(curve[title].values()) == expected


@pytest.mark.slow
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


@pytest.mark.thorough
@pytest.mark.slow
def test_a_detector_of_the_user_s_own_is_one_file_named_in_the_study(tmp_path: Path) -> None:
    for name in ("study.yaml", "template.py"):
        shutil.copy(EXAMPLES / name, tmp_path)
    text = (tmp_path / "study.yaml").read_text()
    assert "steps: 60" in text
    (tmp_path / "study.yaml").write_text(text.replace("steps: 60", "steps: 6, pretrained: null"))
    phantoms.write(tmp_path / "data", "breast", 0, 120, 20, size=64)
    asked = ["study", "study.yaml", "--data", "data"]
    done = command([*asked, "--trust", "template.py"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    written = run(tmp_path / "study.yaml", "--ours", "template")
    assert written.returncode == 0, written.stderr
    text = (tmp_path / "RESULTS.md").read_text()
    assert "**a template of one's own**" in text
    refused = command(asked, tmp_path)
    assert refused.returncode == 2
    assert "--trust" in refused.stderr


def test_the_false_alarms_of_one_repeat_have_the_interval_of_their_patients() -> None:
    """Between the least and the most of one repeat there is nothing, which is no certainty."""
    names = [f"c{number}" for number in range(40)]
    score = np.r_[np.zeros(38), 1, 1]
    table = ScoreTable.of(names, names, np.zeros(40, np.int64), score, threshold=0.5)
    assert percent(*alarms({0: table}), digits=1) == "5.0 % (0.6 to 16.9)"
    none = ScoreTable.of(names, names, np.zeros(40, np.int64), score, threshold=2.0)
    assert percent(*alarms({0: none, 1: table}), digits=1) == "2.5 % (0.0 to 5.0)"


def test_the_page_has_the_figures_of_the_report_and_escapes_what_is_named(folder: Path) -> None:
    hostile = "<script>alert(1)</script>"
    study = folder / "study.yaml"
    study.write_text(STUDY.replace("title: First task", f"title: '{hostile}'"))
    results = Results.of(Study.load(study), folder, "middle_class", resamples=200)
    page, text = html(results, folder), markdown(results, folder)
    assert hostile not in page
    assert hostile in text
    for task in results.main:
        for name in results.ordered(task):
            found = results.compared[task].estimate(name)
            assert f">{found.value:.3f}<span" in page
            assert figure(found.value) in text
            if name != "middle_class":
                assert f">{results.differences[task, name].value:+.3f}<span" in page
    assert page.count("<svg") == 1 + 2 * len(results.main) + 2  # ranks; each task; two curves
    assert not re.search(r"https?:|url\(", page)


def test_ranks_are_tested_over_tasks_and_not_over_their_repeats(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results.of(Study.load(folder / "study.yaml"), folder, "middle_class", resamples=50)
    test = results.rank_test
    assert test is not None
    assert (test.tasks, list(test.ranks)) == (2, ["middle_class", "pca"])  # of two repeats each
    text, page = markdown(results, folder), html(results, folder)
    for shown in (text, page):
        assert "For a pair of detectors 2 tasks are too few" in shown
        assert "6 tasks could show one below .05" in shown
    assert "](ranks.svg)" in text
    assert "line group" not in page
    monkeypatch.setattr(type(test), "groups", [("middle_class", "pca")])
    assert html(results, folder).count('"line group"') == 1
