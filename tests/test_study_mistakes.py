"""Mistakes of a study: named with their place, before any work where they can be seen then."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from makers import manifest_rows, phantom_folder, tiny_phantoms, write_manifest
from midclass import InputError, Recipe, ScoreTable
from midclass.cli.commands import study
from midclass.cli.commands.duplicates import tell_of_study
from midclass.detectors.provenance import images_of
from midclass.files import CannotWriteError
from midclass.study import cell as cell_module
from midclass.study.cell import Cell, cases, run_cell, table_of
from midclass.study.file import Study
from midclass.study.log import Outcome, add_to_log
from midclass.study.run import compute

RECIPE = tiny_phantoms(steps=2, checkpoints=1)
STUDY = """\
name: tiny
repeats: 2
max_fpr: 0.2
common: {}
tasks:
  breast: {recipe: tiny.yaml, cohort: data/manifest.csv}
detectors:
  pca: {detector: pca}
  middle_class:
"""
BREAST = "breast: {recipe: tiny.yaml, cohort: data/manifest.csv"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("mistakes"), RECIPE, given=40, target=8)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A study file of its own, its data, and no results."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    """The study file with changes."""
    text = STUDY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def cells(folder: Path, *changes: tuple[str, str], trust: tuple[Path, ...] = ()) -> list[Cell]:
    return Study.load(write(folder, *changes)).cells(folder, trust)


def own(folder: Path, name: str, learn: str = "", score: str = "") -> Cell:
    """The first cell, with a detector of one's own that derives from PCA."""
    methods = {"learn": learn, "score": score}
    heads = {"learn": "self, lesson", "score": "self, images"}
    text = "import torch\n\nfrom midclass.detectors.baselines.pca import PCA\n\n\nclass Own(PCA):\n"
    for method, body in methods.items():
        if body:
            text += f"    def {method}({heads[method]}):\n        {body}\n"
    file = folder / name
    file.write_text(text)
    return replace(cells(folder)[0], module=f"{file}:Own", trust=(file,))


def relabelled(folder: Path, part: str, label: str) -> None:
    """Give all cases of a part one label."""
    manifest = folder / "data" / "manifest.csv"
    rows = manifest_rows(manifest)
    for row in rows:
        row["label"] = label if row["split"] == part else row["label"]
    write_manifest(manifest, rows)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (BREAST, f'{BREAST}, split: "repeat_{{repeats}}"', "no column 'repeat_{repeats}'"),
        (BREAST, f"{BREAST}, known_patients: 0.95", "lower known_patients, which is 0.95"),
        ("pca: {", "few: {positives: 99}\n  pca: {", "few asks for 99 positives, there are"),
        ("data/manifest", "data/manifests", "manifests.csv"),
    ],
)
def test_a_mistake_in_the_data_is_found_before_any_cell(
    folder: Path, old: str, new: str, message: str
) -> None:
    file = write(folder, (old, new))
    with pytest.raises(InputError) as caught:
        study.run(file, folder, out=folder / "out")
    assert message in str(caught.value)
    assert f"{file}: tasks.breast: {folder}/data/manifest" in str(caught.value)
    assert not (folder / "out").exists()


def test_weights_that_are_not_there_are_named_before_any_cell_and_not_where_all_are_done(
    folder: Path,
) -> None:
    change = "change: {budget: {pretrained: lost.pth}}"
    file = write(folder, ("pca: {", f"near: {{detector: nearest_neighbour, {change}}}\n  pca: {{"))
    found = rf"{file}: detectors\.near: {folder}/lost\.pth: no such file of weights"
    with pytest.raises(InputError, match=found):
        study.run(file, folder, out=folder / "out")
    assert not (folder / "out").exists()
    table = ScoreTable.of(["a", "b"], ["p", "q"], [0, 1], [0.0, 1.0])
    for cell in Study.load(file).cells(folder):
        table.write(table_of(folder / "out", cell.name))
        settings = "with the weights" if cell.weights else cell.settings
        add_to_log(folder / "out", Outcome(cell.name, 1.0, settings=settings))
    assert study.run(file, folder, out=folder / "out")


@pytest.mark.parametrize(
    ("part", "label", "message"),
    [
        ("train", "1", "cases to learn from is of the given class (label 0)"),
        ("test", "0", "cases to score is of the target class (label 1)"),
        ("test", "1", "cases to score is of the given class (label 0)"),
    ],
)
def test_a_class_that_is_not_there_is_found_before_any_cell(
    folder: Path, part: str, label: str, message: str
) -> None:
    relabelled(folder, part, label)
    with pytest.raises(InputError, match=r"tasks\.breast") as caught:
        study.run(write(folder), folder, out=folder / "out")
    assert message in str(caught.value)


def test_data_are_read_once_for_all_cells_on_the_same_cases_and_not_where_all_are_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Cell] = []
    monkeypatch.setattr("midclass.study.run.cases", read.append)
    monkeypatch.setattr(study, "compute", lambda *_, **__: [])
    few = ("pca: {", "few: {positives: 3}\n  more: {positives: 4}\n  pca: {")
    file = write(folder, few)
    study.run(file, folder)
    assert [cell.positives for cell in read] == [4]
    table = ScoreTable.of(["a", "b"], ["p", "q"], [0, 1], [0.0, 1.0])
    for cell in Study.load(file).cells(folder):
        table.write(table_of(folder, cell.name))
    assert study.run(file, folder)
    assert len(read) == 1


@pytest.mark.slow
def test_a_bug_in_one_s_own_detector_is_told_with_its_line_and_traceback(folder: Path) -> None:
    broken = own(folder, "own.py", learn="torch.zeros(2) @ torch.zeros(3)")
    told: list[str] = []
    (outcome,) = compute([broken], folder / "out", cache=folder / "cache", tell=told.append)
    assert outcome.error.startswith("RuntimeError: ")
    assert outcome.error.endswith(" (own.py:8)")
    assert told == [f"failed: breast/pca/0: {outcome.error}"]
    left = folder / "out" / "work" / "breast" / "pca" / "0" / "error.txt"
    assert "torch.zeros(2) @ torch.zeros(3)" in left.read_text()
    assert "Traceback" in left.read_text()
    (outcome,) = compute([cells(folder)[0]], folder / "out", cache=folder / "cache")
    assert outcome.error == ""
    assert not (folder / "out" / "work").exists()


def test_a_damaged_image_to_score_is_not_assessed_and_costs_the_other_cells_nothing(
    folder: Path,
) -> None:
    """One to learn from is an error, as for ``fit``."""
    (pca,) = (one for one in cells(folder) if one.name == "breast/pca/0")
    assert not run_cell(pca, folder / "out", folder / "cache").error
    before = ScoreTable.read(table_of(folder / "out", pca.name))
    scored, learned = (part[3].path for part in cases(pca)[::-1])
    whole = scored.read_bytes()
    scored.write_bytes(whole[:100])
    assert not run_cell(pca, folder / "damaged", folder / "cache").error
    after = ScoreTable.read(table_of(folder / "damaged", pca.name))
    assert after.case_id.tolist() == before.case_id.tolist()
    lost = ~after.assessed
    assert (np.flatnonzero(lost).tolist(), bool(before.assessed[lost].all())) == ([3], True)
    assert after.reason[3].startswith("cannot be used: ")
    np.testing.assert_array_equal(after.score[~lost], before.score[~lost])
    digests = [images_of(table_of(folder / out, pca.name)) for out in ("out", "damaged")]
    assert digests[0] != digests[1] != ""
    _, test = cases(pca)
    for case in test.target_class():
        case.path.write_bytes(case.path.read_bytes()[:100])
    error = run_cell(pca, folder / "none", folder / "cache").error
    assert "no test case of the target class can be assessed: cannot be used" in error
    scored.write_bytes(whole)
    learned.write_bytes(learned.read_bytes()[:100])
    assert learned.name in run_cell(pca, folder / "other", folder / "cache").error


def test_a_file_that_is_missing_costs_a_study_this_case_and_one_to_learn_from_is_named(
    folder: Path,
) -> None:
    """Known before the first cell: an archive was tidied up since the manifest was written."""
    (pca,) = (one for one in cells(folder) if one.name == "breast/pca/0")
    scored, learned = (part[3].path for part in cases(pca)[::-1])
    scored.unlink()
    tell_of_study([pca], folder / "cache")
    assert not run_cell(pca, folder / "out", folder / "cache").error
    table = ScoreTable.read(table_of(folder / "out", pca.name))
    assert np.flatnonzero(~table.assessed).tolist() == [3]
    assert table.reason[3].startswith("cannot be used: ")
    learned.unlink()
    with pytest.raises(InputError, match=rf"no such file .*{learned.name}, which is to be learned"):
        cases(pca)


def test_where_the_disk_is_full_the_reason_is_told_and_not_that_a_process_died(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: object) -> None:
        raise CannotWriteError(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    monkeypatch.setattr(
        "midclass.detectors.provenance.write_provenance",
        lambda *_, **__: full(folder / "scores.csv"),
    )
    monkeypatch.setattr(cell_module, "write_text_atomic", full)  # nor is there room for a traceback
    outcome = run_cell(cells(folder)[0], folder / "out", folder / "cache")
    assert "scores.csv: cannot be written (No space left on device)" in outcome.error
    assert pickle.loads(pickle.dumps(outcome)) == outcome


@pytest.mark.slow
def test_a_constant_score_is_an_error_and_not_an_auroc_of_a_half(folder: Path) -> None:
    score = "return torch.full((len(images.pixels),), 0.25), images.pixels"
    constant = own(folder, "constant.py", score=score)
    (outcome,) = compute([constant], folder / "out", cache=folder / "cache")
    assert "have the score 0.25, which tells nothing" in outcome.error
    assert not table_of(folder / "out", constant.name).exists()


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("common: {}", "common: {budget: {step: 2}}", "common: budget: no field 'step'"),
        (BREAST, f"{BREAST}, change: {{sham: 3}}", "tasks.breast.change: sham is 3"),
        ("pca}", "pca, change: {flor: 0}}", "detectors.pca.change: no field 'flor'"),
        (
            "common: {}",
            "common: {nuisance: {rotaton_deg: 3}}",
            "common: nuisance: no argument 'rotaton_deg'",
        ),
        ("common: {}", "common: {anatomy: 'own.py:no'}", "common: anatomy: no such file"),
        ("common: {}", "common: {middle_classes:}", "common: middle_classes is None"),
    ],
)
def test_a_mistake_in_a_change_is_named_by_its_place_in_the_study_file(
    folder: Path, old: str, new: str, place: str
) -> None:
    with pytest.raises(InputError) as caught:
        cells(folder, (old, new))
    assert str(caught.value).startswith(f"{folder / 'study.yaml'}: {place}")
    assert "tiny.yaml" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("recipe: tiny.yaml", "recipe: tiney", "recipe of tasks.breast and detectors.pca: no"),
        ("pca}", "pca, recipe: none.yaml}", "recipe of tasks.breast and detectors.pca: "),
    ],
)
def test_a_recipe_that_is_not_there_is_named_by_its_place_in_the_study_file(
    folder: Path, old: str, new: str, place: str
) -> None:
    with pytest.raises(InputError) as caught:
        cells(folder, (old, new))
    assert str(caught.value).startswith(f"{folder / 'study.yaml'}: {place}")


def test_a_change_may_put_right_what_one_before_it_did(folder: Path) -> None:
    common = ("common: {}", "common: {geometry: {size: [64, 64, 64]}}")
    with pytest.raises(InputError, match=r"study.yaml: common: geometry"):
        cells(folder, common)
    right = (BREAST, f"{BREAST}, change: {{geometry: {{size: [64, 64]}}}}")
    assert cells(folder, common, right)
    wrong = ("pca}", "pca, change: {sham: 3}}")
    with pytest.raises(InputError, match=r"study.yaml: detectors.pca.change: sham is 3"):
        cells(folder, right, wrong)


def test_a_mistake_in_a_recipe_is_named_by_the_recipe(folder: Path) -> None:
    (folder / "tiny.yaml").write_text(RECIPE + "nuisance: {rotaton_deg: 3}\n")
    with pytest.raises(InputError) as caught:
        cells(folder, ("common: {}", "common: {sham: 0.5}"))
    assert str(caught.value).startswith(f"{folder / 'tiny.yaml'}: nuisance: no argument")


def test_files_in_a_change_are_relative_to_the_study_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mine.py").write_text("def all_of_it(pixels, spacing):\n    return pixels[0] >= 0\n")
    changes = "change: {anatomy: 'mine.py:all_of_it', budget: {pretrained: weights.pt}}"
    shipped = BREAST.replace("tiny.yaml", "phantoms")
    mine = (BREAST, f"{shipped}, {changes}")
    monkeypatch.chdir(folder.parent)
    file = write(folder, mine)
    relative = Path(os.path.relpath(file))
    cell = Study.load(relative).cells(folder, (folder / "mine.py",))[0]
    recipe = Recipe.from_dict(cell.recipe, cell.trust, cell.source)
    assert recipe.anatomy_function().__name__ == "all_of_it"
    assert recipe.budget.pretrained == str(folder / "weights.pt")


def test_weights_in_a_recipe_are_relative_to_the_recipe(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "pretrained: null" in RECIPE
    text = RECIPE.replace("pretrained: null", "pretrained: weights.pt")
    (folder / "tiny.yaml").write_text(text)
    (folder / "further").mkdir()
    (folder / "further" / "mine.yaml").write_text("extends: ../tiny.yaml\nname: mine\n")
    monkeypatch.chdir(folder.parent)
    for name in ("tiny.yaml", "further/mine.yaml"):
        cell = cells(folder, ("tiny.yaml", name))[0]
        recipe = Recipe.from_dict(cell.recipe, source=cell.source)
        for weights in (cell.weights, recipe.weights(), cell.absolute().weights):
            assert weights is not None
            assert weights.resolve() == folder / "weights.pt"


def test_a_detector_of_an_installed_package_is_no_path(folder: Path) -> None:
    package = ("detector: pca", "detector: 'midclass.detectors.pca:PCA'")
    cell = cells(folder, package)[0]
    assert cell.module == cell.absolute().module == "midclass.detectors.pca:PCA"


def test_a_manifest_may_have_its_images_in_another_folder(folder: Path) -> None:
    (folder / "lists").mkdir()
    shutil.copy(folder / "data" / "manifest.csv", folder / "lists")
    lists = BREAST.replace("data/", "lists/")
    cell = cells(folder, (BREAST, f"{lists}, root: data"))[0]
    train, _ = cases(cell)
    assert (folder / "data") in train[0].path.parents
    without = cells(folder, (BREAST, lists))[0]
    assert without.settings == cells(folder)[0].settings != cell.settings
    assert cell.absolute().settings == cell.settings
    with pytest.raises(InputError, match="no such file"):
        cases(without)


def test_a_detector_with_nothing_behind_it_changes_nothing(folder: Path) -> None:
    assert Study.load(write(folder)).detectors["middle_class"].detector == "middle_class"
    write(folder, ("tasks:\n  breast: {recipe: tiny.yaml, cohort: data/manifest.csv}", "tasks: {}"))
    with pytest.raises(InputError, match="tasks"):
        Study.load(folder / "study.yaml")


def test_a_file_is_no_place_for_results(folder: Path) -> None:
    (folder / "out").write_text("")
    with pytest.raises(InputError, match=r"out: is a file; give a folder with --out"):
        study.run(write(folder), folder, out=folder / "out")


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("pca}", "pca, title: middle class}", "detectors.pca and detectors.middle_class"),
        ("middle_class:", "a_b: {}\n  a-b: {title: a b}", "detectors.a_b and detectors.a-b"),
        (
            "middle_class:",
            "few: {positives: 2}\n  few_other: {positives: 2, without: [x]}",
            "detectors.few and detectors.few_other",
        ),
        (
            BREAST,
            "b_c: {recipe: tiny.yaml, cohort: a, title: breast}\n  " + BREAST,
            "tasks.b_c and tasks.breast",
        ),
    ],
)
def test_two_rows_of_one_title_are_refused(folder: Path, old: str, new: str, names: str) -> None:
    with pytest.raises(InputError, match="would both be called") as caught:
        Study.load(write(folder, (old, new)))
    assert names in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ("positives: 2", "positives: 2", True),
        ("positives: 2", "positives: 2, tasks: [breast]", True),
        ("positives: 2, tasks: [other]", "positives: 2, tasks: [breast]", False),
        ("positives: 2", "positives: 3", False),
        ("positives: 2", "positives: 2, without: [x]", False),
        ("positives: 0", "positives: 0", False),  # rows of a table, not points of a line
    ],
)
def test_a_line_has_one_figure_for_a_number_of_positives(
    folder: Path, first: str, second: str, refused: bool
) -> None:
    entries = f"a: {{{first}, title: a}}\n  b: {{{second}, title: b}}\n  middle_class:"
    other = BREAST + "}\n  other: {recipe: tiny.yaml, cohort: data/manifest.csv"
    path = write(folder, ("middle_class:", entries), (BREAST, other))
    same = pytest.raises(InputError, match=r"a and detectors\.b are the same")
    with same if refused else nullcontext():
        Study.load(path)


def test_numbers_of_positives_of_one_detector_may_share_a_title(folder: Path) -> None:
    entries = (
        "middle_class: {title: ours}\n  few: {title: ours, positives: 2}\n  more: {positives: 4}"
    )
    loaded = Study.load(write(folder, ("middle_class:", entries)))
    assert loaded.kind_title(loaded.detectors["more"].kind) == "ours"


def test_an_entry_that_says_nothing_is_the_detector_of_its_name(folder: Path) -> None:
    """It was our method, and the report called it by the baseline's name."""
    file = write(folder, ("  pca: {detector: pca}", "  pca: {}\n  padim:\n  all: {}"))
    detectors = Study.load(file).detectors
    assert {name: one.detector for name, one in detectors.items()} == {
        "pca": "pca",
        "padim": "padim",
        "all": "middle_class",
        "middle_class": "middle_class",
    }
    file = write(folder, ("  pca: {detector: pca}", "  pca: {detector: padim}"))
    assert Study.load(file).detectors["pca"].detector == "padim"
    file = write(folder, ("  pca: {detector: pca}", "  mahalnobis: {}"))
    with pytest.raises(InputError, match=r"detectors.mahalnobis.*did you mean mahalanobis"):
        Study.load(file)
