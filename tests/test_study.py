"""Studies: complete, resumable, the same bytes however they are run, and refused in one line."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from makers import as_in_a_terminal, command, phantom_folder, started, tiny_phantoms
from midclass import Case, Cohort, InputError, ScoreTable
from midclass.study import engines
from midclass.study.cell import Cell, parts, table_of
from midclass.study.file import Study
from midclass.study.log import Outcome, add_to_log, read_log
from midclass.study.run import compute
from midclass.version import __version__

RECIPE = tiny_phantoms()
STUDY = """\
name: tiny
repeats: 2
max_fpr: 0.1
common: {budget: {steps: 6}}
tasks:
  breast: {recipe: tiny.yaml, cohort: data/manifest.csv}
detectors:
  middle_class: {}
  one: {only: [FIRST]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file of four cells on phantoms, and what it gives."""
    folder = tmp_path_factory.mktemp("study")
    phantom_folder(folder, RECIPE)
    first = next(iter(study_recipe_classes(folder)))
    (folder / "study.yaml").write_text(STUDY.replace("FIRST", first))
    outcomes = compute(cells(folder), folder / "whole", cache=folder / "cache")
    assert [outcome.error for outcome in outcomes] == [""] * 4
    return folder


def study_recipe_classes(folder: Path) -> list[str]:
    from midclass import Recipe

    return list(Recipe.load(folder / "tiny.yaml").middle_classes)


def cells(folder: Path) -> list[Cell]:
    return Study.load(folder / "study.yaml").cells(folder)


def tables(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted((folder / "scores").rglob("*.csv"))
    }


@pytest.mark.slow
def test_every_cell_has_a_score_table_of_all_test_cases(folder: Path) -> None:
    made = tables(folder / "whole")
    assert list(made) == [
        f"scores/breast/{detector}/{repeat}.csv"
        for detector in ("middle_class", "one")
        for repeat in (0, 1)
    ]
    read = [ScoreTable.read(folder / "whole" / name) for name in made]
    assert {tuple(table.case_id) for table in read} == {tuple(read[0].case_id)}
    assert len({table.score.tobytes() for table in read}) == 4  # no two cells are the same run


@pytest.mark.slow
def test_the_common_fields_and_the_selection_of_classes_reach_the_recipe(folder: Path) -> None:
    whole, one = cells(folder)[:2]
    assert whole.recipe["budget"]["steps"] == one.recipe["budget"]["steps"] == 6
    assert whole.recipe["budget"]["batch"] == 8  # the others stay
    assert len(one.recipe["middle_classes"]) == 1 < len(whole.recipe["middle_classes"])


@pytest.mark.slow
def test_a_task_may_promise_another_false_alarm_rate_than_the_study(folder: Path) -> None:
    text = (folder / "study.yaml").read_text()
    asked = text.replace("data/manifest.csv}", "data/manifest.csv, max_fpr: 0.2}")
    (folder / "promise.yaml").write_text(asked)
    assert {cell.max_fpr for cell in cells(folder)} == {0.1}
    promised = Study.load(folder / "promise.yaml").cells(folder)
    assert {cell.max_fpr for cell in promised} == {0.2}


@pytest.mark.slow
def test_two_processes_give_the_same_bytes_as_one(folder: Path) -> None:
    compute(cells(folder), folder / "two", jobs=2, cache=folder / "cache")
    assert tables(folder / "two") == tables(folder / "whole")


@pytest.mark.thorough
@pytest.mark.slow
def test_a_study_killed_at_any_moment_and_started_again_gives_the_same_bytes(folder: Path) -> None:
    out = folder / "killed"
    words = ["study", str(folder / "study.yaml"), "--data", str(folder), "--out", str(out)]
    words += ["--cache", str(folder / "cache")]
    for _ in range(2):
        process = started(words, folder, session=True)
        done = len(tables(out)) if out.exists() else 0
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and process.poll() is None:
            if out.exists() and len(tables(out)) > done:
                break
            time.sleep(0.02)
        os.killpg(process.pid, 9)
        process.wait()
    left = len(tables(out))
    assert 0 < left < 4
    finished = command(words, folder)
    assert finished.returncode == 0, finished.stderr
    assert f"4 cells, {left} done before" in finished.stdout
    assert tables(out) == tables(folder / "whole")
    assert not (out / "work").exists()


@pytest.mark.slow
def test_what_a_cell_killed_just_after_its_table_left_is_removed(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "whole", tmp_path / "whole")
    left = tmp_path / "whole" / "work" / "breast" / "one" / "0" / "settings"
    left.mkdir(parents=True)
    (left / "training.pt").touch()
    assert compute(cells(folder), tmp_path / "whole") == []
    assert not (tmp_path / "whole" / "work").exists()


SLOW = """\
import time

from midclass.detectors.baselines.pca import PCA


class Slow(PCA):
    def learn(self, lesson):
        time.sleep(2 * lesson.seed)
        super().learn(lesson)
"""


@pytest.mark.slow
def test_an_interrupted_study_leaves_no_table_that_its_log_does_not_know(folder: Path) -> None:
    """Interrupted alone, as by a supervisor: its workers get no signal."""
    out = folder / "interrupted"
    (folder / "slow.py").write_text(SLOW)
    text = (folder / "study.yaml").read_text()
    start = text.index("detectors:")
    text = text[:start] + "detectors:\n  slow: {detector: 'slow.py:Slow'}\n"
    (folder / "slow.yaml").write_text(text)
    words = ["study", str(folder / "slow.yaml"), "--data", str(folder), "--out", str(out)]
    words += ["--cache", str(folder / "cache"), "--trust", str(folder / "slow.py")]
    process = started(words, folder)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not read_log(out):
        time.sleep(0.02)
    time.sleep(0.5)  # the next cell has begun
    process.send_signal(signal.SIGINT)
    process.wait()
    assert [f"scores/{one.name}.csv" for one in read_log(out)] == list(tables(out))
    time.sleep(2.5)  # longer than the cell that was stopped
    assert len(tables(out)) == len(read_log(out)) == 1


@pytest.mark.slow
def test_ctrl_c_while_a_study_starts_prints_no_traceback(folder: Path) -> None:
    """A terminal interrupts all of its processes, also those that import what cells need."""
    words = ["study", str(folder / "study.yaml"), "--data", str(folder)]
    words += ["--out", str(folder / "at_once"), "--cache", str(folder / "cache"), "--jobs", "2"]
    file = folder / "at_once.txt"
    with file.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "midclass", *words],
            stdout=told,
            stderr=told,
            start_new_session=True,
            preexec_fn=as_in_a_terminal,
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and "done before" not in file.read_text():
            time.sleep(0.02)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
    said = file.read_text()
    assert "interrupted: " in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_cell_that_fails_is_named_and_the_others_go_on(folder: Path) -> None:
    broken = [cell for cell in cells(folder) if cell.repeat == 0]
    broken[0] = Cell(**{**vars(broken[0]), "split": "nowhere"})
    outcomes = compute(broken, folder / "broken", cache=folder / "cache")
    assert "nowhere" in outcomes[0].error
    assert outcomes[1].error == ""
    assert list(tables(folder / "broken")) == ["scores/breast/one/0.csv"]


DIES = """\
import os

from midclass.detectors.baselines.pca import PCA


class Dies(PCA):
    def learn(self, lesson):
        os._exit(9)
"""


@pytest.mark.slow
def test_a_cell_whose_process_dies_is_named_and_the_others_go_on(folder: Path) -> None:
    file = folder / "dies.py"
    file.write_text(DIES)
    some = [cell for cell in cells(folder) if cell.repeat == 0]
    some[0] = replace(some[0], module=f"{file}:Dies", trust=(file,))
    outcomes = compute(some, folder / "died", jobs=2, cache=folder / "cache")
    errors = {outcome.name: outcome.error for outcome in outcomes}
    assert errors == {
        some[0].name: "its process died, perhaps for lack of memory",
        some[1].name: "",
    }
    assert list(tables(folder / "died")) == ["scores/breast/one/0.csv"]


DIES_BESIDE_ANOTHER = """\
import os, pathlib, time

here = pathlib.Path(__file__).parent
while not (here / "waiting.txt").exists():
    time.sleep(0.01)
(here / "died.txt").touch()
os._exit(9)
"""
WAITS_FOR_THE_DEATH = """\
import os, pathlib, time

here = pathlib.Path(__file__).parent
if not (here / "died.txt").exists():
    (here / "waiting.txt").touch()
    while not (here / "died.txt").exists():
        time.sleep(0.01)
    time.sleep(1)  # a pool may notice a death only when another process ends
    os._exit(9)
"""


@pytest.mark.slow
def test_a_cell_whose_process_dies_does_not_make_the_rest_serial(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the cells that ran when it died run alone: the sizes of the pools say so."""
    dies, waits = folder / "dies_soon.py", folder / "waits.py"
    dies.write_text(DIES_BESIDE_ANOTHER)
    waits.write_text(WAITS_FOR_THE_DEATH)
    some = [replace(cells(folder)[0], detector=f"d{n}") for n in range(6)]
    files = [dies, *[waits] * 5]
    some = [replace(c, module=f"{f}:No", trust=(f,)) for c, f in zip(some, files, strict=True)]
    sizes, pool = [], engines._pool
    monkeypatch.setattr(engines, "_pool", lambda jobs: sizes.append(jobs) or pool(jobs))
    outcomes = compute(some, folder / "serial", jobs=2, cache=folder / "cache")
    told = {outcome.name: outcome.error for outcome in outcomes}
    assert len(told) == len(outcomes) == 6
    assert "process died" in told.pop(some[0].name)
    assert all("no 'No' in" in error for error in told.values())
    assert sizes == [2, 1, 1, 2]


@pytest.mark.slow
def test_a_table_of_other_settings_is_not_taken_for_a_result(folder: Path, tmp_path: Path) -> None:
    for name in ("scores", "log.csv"):
        copied = shutil.copytree if (folder / "whole" / name).is_dir() else shutil.copy
        copied(folder / "whole" / name, tmp_path / name)
    assert compute(cells(folder), tmp_path) == []
    other = [replace(cell, max_fpr=0.2) for cell in cells(folder)]
    with pytest.raises(InputError, match="4 score tables were computed with other settings") as no:
        compute(other, tmp_path)
    assert str(table_of(tmp_path, other[0].name)) in str(no.value)
    for cell in other[1:]:
        table_of(tmp_path, cell.name).unlink()
    outcomes = compute([*cells(folder)[:1], *other[1:2]], tmp_path, cache=folder / "cache")
    assert [outcome.name for outcome in outcomes] == [other[1].name]


@pytest.mark.slow
def test_settings_are_those_of_the_scores_and_not_of_the_place(folder: Path) -> None:
    cell = cells(folder)[0]
    assert cell.settings == cell.absolute().settings
    manifest = folder / "data" / "manifest.csv"
    elsewhere = folder / "data" / "shorter.csv"
    elsewhere.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    changes = [
        {"cohort": elsewhere},
        {"recipe": {**cell.recipe, "floor": 0.1}},
        {"module": "pca"},
        {"split": "other"},
        {"positives": 1},
        {"known_patients": 0.5},
        {"repeat": 1},
    ]
    found = {replace(cell, **change).settings for change in changes}  # type: ignore[arg-type]
    assert len(found | {cell.settings}) == 1 + len(changes)


@pytest.mark.slow
def test_a_file_of_the_user_s_is_in_the_settings_of_the_cells_that_use_it(
    folder: Path, tmp_path: Path
) -> None:
    detector, anatomy = tmp_path / "mine.py", tmp_path / "lungs.py"
    detector.write_text("1")
    anatomy.write_text("2")
    plain = cells(folder)[0]
    trust = (detector, anatomy)
    own = replace(plain, module=f"{detector}:Mine", trust=trust)
    named = replace(plain, recipe={**plain.recipe, "anatomy": f"{anatomy}:lungs"}, trust=trust)
    assert replace(plain, trust=trust).settings == plain.settings
    assert replace(own, trust=trust[::-1]).settings == own.settings
    before = own.settings, named.settings
    detector.write_text("3")
    assert (own.settings != before[0], named.settings) == (True, before[1])
    before = own.settings, named.settings
    anatomy.write_text("4")
    assert (own.settings, named.settings != before[1]) == (before[0], True)
    (tmp_path / "there").mkdir()
    shutil.copy(anatomy, tmp_path / "there")
    moved = {**plain.recipe, "anatomy": f"{tmp_path}/there/lungs.py:lungs"}
    assert replace(plain, recipe=moved).settings == named.settings


@pytest.mark.slow
def test_the_weights_to_start_from_are_in_the_settings(folder: Path, tmp_path: Path) -> None:
    def of(weights: Path, content: str) -> str:
        weights.parent.mkdir(exist_ok=True)
        weights.write_text(content)
        cell = cells(folder)[0]
        budget = {**cell.recipe["budget"], "pretrained": str(weights)}
        return replace(cell, recipe={**cell.recipe, "budget": budget}).settings

    first = of(tmp_path / "a" / "weights.pt", "1")
    assert of(tmp_path / "b" / "weights.pt", "1") == first
    assert of(tmp_path / "a" / "weights.pt", "2") != first


@pytest.mark.slow
def test_an_error_with_quotes_and_commas_leaves_the_log_readable(folder: Path) -> None:
    outcome = Outcome("breast/one/0", 1.0, 'no "x", nor\ty')
    add_to_log(folder / "quotes", outcome)
    assert read_log(folder / "quotes") == [outcome]
    assert outcome.version == __version__


def test_a_line_of_the_log_that_is_blank_or_cut_short_says_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text('a/b/0,7,,hash\n\na/b/1\na/b/2,9,"half of')
    add_to_log(tmp_path, Outcome("a/b/3", 2.0))
    with log.open("a") as file:
        file.write("a/b/4,1,,half of a hash")
    read = read_log(tmp_path)
    assert [one for one in read if not one.error] == [
        Outcome("a/b/0", 7.0, "", "hash", version=""),
        Outcome("a/b/3", 2.0),
    ]
    assert [one.name for one in read] == ["a/b/0", "a/b/3"]


@pytest.mark.slow
def test_positives_are_the_same_for_all_detectors_and_the_fewer_are_among_the_more(
    folder: Path,
) -> None:
    cohort = Cohort.from_manifest(folder / "data" / "manifest.csv")
    drawn = [{c.case_id for c in cohort.some_of_target_class(n, seed=3)} for n in (0, 2, 5)]
    assert [len(cases) for cases in drawn] == [0, 2, 5]
    assert drawn[1] < drawn[2]
    assert drawn[2] != {c.case_id for c in cohort.some_of_target_class(5, seed=4)}
    with pytest.raises(InputError, match="99 target-class cases asked for, there are"):
        cohort.some_of_target_class(99, seed=0)


@pytest.mark.slow
def test_known_patients_are_learned_from_with_all_their_cases_and_not_scored(folder: Path) -> None:
    cohort = Cohort.from_manifest(folder / "data" / "manifest.csv")
    cell = cells(folder)[0]
    before = parts(cohort, cell)
    train, test = parts(cohort, replace(cell, known_patients=0.5))
    assert len(train) + len(test) == len(before[0]) + len(before[1])
    assert not set(train.patients) & set(test.patients)
    target = len(before[1].target_class().patients)
    assert len(test.target_class().patients) == target - round(target / 2)
    assert not len(before[0].target_class()) or len(train.target_class()) > target // 2
    other = parts(cohort, replace(cell, known_patients=0.5, repeat=1))[1]
    assert other.patients != test.patients


def test_a_redrawn_split_has_other_patients_of_the_given_class_and_as_many() -> None:
    """Patient 3 has both classes and stays; a study without it has the settings of before."""
    cases = [
        Case(f"{p}-{i}", Path(f"{p}{i}"), int(p >= 12 or (p, i) == (3, 1)), f"p{p}")
        for p in range(16)
        for i in range(2)
    ]
    cases = [
        replace(case, part="train" if i < 10 and i != 7 else "test") for i, case in enumerate(cases)
    ]
    cohort = Cohort(tuple(cases), "made")
    nowhere = {"recipe": {}, "module": "m", "split": None, "max_fpr": 0.1, "source": Path("s")}
    cell = Cell("t", "d", 0, cohort=Path("m.csv"), **nowhere)  # type: ignore[arg-type]
    before, test = parts(cohort, cell)
    drawn = [parts(cohort, replace(cell, redraw=True, repeat=repeat)) for repeat in (0, 0, 1)]
    for train, rest in drawn:
        assert {c.case_id for c in train} | {c.case_id for c in rest} == {c.case_id for c in cohort}
        assert not set(train.given_class().patients) - {"p3"} & set(rest.patients)
        assert len(set(train.patients) - {"p3"}) == len(set(before.patients) - {"p3"})
        assert len(rest.target_class()) == len(test.target_class())
    assert drawn[0][0].patients == drawn[1][0].patients != drawn[2][0].patients
    assert replace(cell, redraw=True).settings != cell.settings


@pytest.mark.slow
def test_a_cell_with_positives_learns_from_them(folder: Path) -> None:
    few = replace(cells(folder)[0], detector="few", positives=3, known_patients=0.5)
    none = replace(few, detector="none", positives=0)
    outcomes = compute([few, none], folder / "positives", cache=folder / "cache")
    assert [outcome.error for outcome in outcomes] == ["", ""]
    with_3, without = (ScoreTable.read(table_of(folder / "positives", c.name)) for c in (few, none))
    assert with_3.case_id.tolist() == without.case_id.tolist()
    assert with_3.score.tobytes() != without.score.tobytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("repeats", "repeat", "no field 'repeat' (did you mean 'repeats'?)"),
        ("repeats: 2", "repeats: 0", "repeats: Input should be greater than 0"),
        ("only: [", "only: [masss, ", "no middle class 'masss'"),
        ("one: {", "one: {tasks: [brest], ", "no task 'brest' (did you mean 'breast'?)"),
        ("  one:", "  a/b:", "detector 'a/b' must be letters"),
        ("tiny.yaml", "none.yaml", "no such recipe file"),
        ("{steps: 6}", "{step: 6}", "no field 'step' (did you mean 'steps'?)"),
        ("one: {", "one: {detector: middle_clas, ", "no detector 'middle_clas'"),
        ("one: {", "one: {detector: pca, positives: 2, ", "pca learns from the given class only"),
        ("one: {", "one: {detector: supervised.Focal, ", "needs some cases of the target class"),
        ("one: {", "one: {detector: supervised, ", "supervised.Weighted, supervised.Focal"),
    ],
)
@pytest.mark.slow
def test_a_mistake_in_the_file_is_one_line_before_any_work(
    folder: Path, tmp_path: Path, old: str, new: str, message: str
) -> None:
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    text = (folder / "study.yaml").read_text()
    assert old in text
    (tmp_path / "study.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        Study.load(tmp_path / "study.yaml").cells(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_workers_end_when_their_study_is_killed(folder: Path) -> None:
    out = folder / "orphans"
    words = ["study", str(folder / "study.yaml"), "--data", str(folder), "--out", str(out)]
    process = started([*words, "--cache", str(folder / "cache")], folder)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (out.exists() and tables(out)):
        time.sleep(0.02)
    process.kill()  # the parent alone
    process.wait()
    time.sleep(2)
    before = tables(out)
    time.sleep(4)
    assert tables(out) == before
    assert len(before) < 4
