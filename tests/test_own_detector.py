"""A detector of one's own, in one file: saved, it scores as before, where its file is trusted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from makers import typed
from midclass import Cohort, Detector, InputError, Recipe, ScoreTable, load_detector, prepare
from midclass.detectors.catalogue import detector_class
from midclass.images import phantoms

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RECIPE = """\
extends: phantoms
name: tiny
geometry: {size: [32, 32], field_of_view_mm: 200}
anatomy: mine.py:all_of_it
"""
ANATOMY = "def all_of_it(pixels, spacing):\n    return pixels[0] >= 0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest, a recipe, and the files that detector and anatomy are in."""
    phantoms.write(tmp_path / "data", "breast", 0, 60, 8, size=48)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    (tmp_path / "mine.py").write_text(ANATOMY)
    shutil.copy(EXAMPLES / "template.py", tmp_path)
    return tmp_path


def test_it_scores_as_before_when_it_was_saved_and_its_files_were_moved(folder: Path) -> None:
    files = folder / "template.py", folder / "mine.py"
    recipe = Recipe.load(folder / "tiny.yaml", files)
    cohort = Cohort.from_manifest(folder / "data" / "manifest.csv")
    train = prepare(cohort.part("train").given_class(), recipe, cache=folder / "cache")
    detector = detector_class(f"{files[0]}:Template", files)(recipe).fit(train, max_fpr=0.2)
    test = prepare(cohort.part("test"), recipe, cache=folder / "cache")
    detector.save(folder / "saved")
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    moved = [Path(shutil.move(file, elsewhere)) for file in files]
    loaded = load_detector(folder / "saved", moved)
    assert type(loaded).__name__ == "Template"
    np.testing.assert_array_equal(loaded.score_samples(test), detector.score_samples(test))
    fresh = prepare(cohort.part("test"), loaded.recipe, cache=folder / "other_cache")
    np.testing.assert_array_equal(loaded.score_samples(fresh), detector.score_samples(test))


def fitted(folder: Path, folds: int | None = None) -> Detector:
    """``template.py`` with the anatomy of ``mine.py``."""
    files = folder / "template.py", folder / "mine.py"
    recipe = Recipe.load(folder / "tiny.yaml", files)
    cohort = Cohort.from_manifest(folder / "data" / "manifest.csv").part("train").given_class()
    train = prepare(cohort, recipe, cache=folder / "cache")
    kind = detector_class(f"{files[0]}:Template", files)
    return kind(recipe).fit(train, max_fpr=0.2, folds=folds)


def saved_with_phantoms(folder: Path) -> Path:
    """``template.py``, a detector of which with an anatomy of midclass is in ``d``."""
    file = folder / "template.py"
    recipe = Recipe.load("phantoms")
    cohort = Cohort.from_manifest(folder / "data" / "manifest.csv").part("train").given_class()
    train = prepare(cohort, recipe, cache=folder / "cache")
    detector_class(f"{file}:Template", [file])(recipe).fit(train, max_fpr=0.2).save(folder / "d")
    return file


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("template.py", "highest.mean(1)", "highest.amax(1)"),
        ("mine.py", ">= 0", "> 0.5"),
        ("mine.py", "", "# v2"),
    ],
)
def test_a_file_that_is_not_that_of_the_fit_does_not_score_under_its_threshold(
    folder: Path, name: str, before: str, after: str
) -> None:
    files = folder / "template.py", folder / "mine.py"
    detector = fitted(folder)
    detector.save(folder / "saved")
    assert load_detector(folder / "saved", files).origin_.id == detector.origin_.id
    text = (folder / name).read_text()
    (folder / name).write_text(text.replace(before, after) if before else text + after)
    with pytest.raises(InputError, match=rf"saved: {name} has changed since the fit"):
        load_detector(folder / "saved", files)
    assert fitted(folder).origin_.id != detector.origin_.id
    (folder / name).write_text(text)
    assert load_detector(folder / "saved", files).origin_.id == detector.origin_.id


def test_a_detector_of_a_version_that_noted_no_files_is_read(folder: Path) -> None:
    file = saved_with_phantoms(folder)
    about = json.loads((folder / "d/detector.json").read_text())
    assert list(about.pop("code")) == ["template.py"]
    del about["sha256"]
    (folder / "d/detector.json").write_text(json.dumps(about))
    file.write_text(file.read_text() + "# another")
    assert type(load_detector(folder / "d", [file])).__name__ == "Template"


@pytest.mark.parametrize(
    ("score", "said"),
    [
        ("highest[:, None].mean(2), None", r"scores of shape \(2, 1\) for 2 images"),
        ("highest.mean(1) / highest.mean(), None", "together and .* one by one"),
        (
            "highest.mean(1) * __import__('torch').rand(len(highest)), None",
            "together and .* one by one",
        ),
        ("highest.mean(1), deviation", r"heat maps of shape .* from .* expected .* in \[0, 1\]"),
        ("highest.mean(1), deviation[:, 0] * 0", r"heat maps of shape \(2, 32, 32\)"),
    ],
)
def test_what_is_no_score_of_its_image_is_told_before_anything_is_promised(
    folder: Path, score: str, said: str
) -> None:
    file = folder / "template.py"
    text = file.read_text()
    usual = "return highest.mean(1), deviation / (3 + deviation)"
    assert usual in text
    file.write_text(text.replace(usual, f"return {score}"))
    with pytest.raises(InputError, match=rf"Template\.score gives .*{said}"):
        fitted(folder)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            '= tensors["mean"], tensors["std"]',
            '= tensors["mean"], 1',
            "be kept: .*two images .* after",
        ),
        (
            '"std": self.std_}, {}',
            '}, {"std": self.std_}',
            "state gives what .*JSON",
        ),
        ('"std": self.std_}, {}', "}, {}", "cannot be kept: .* after restore .*'std'"),
    ],
)
@pytest.mark.parametrize("folds", [None, 3])
def test_a_detector_that_would_be_another_when_saved_is_not_saved(
    folder: Path, before: str, after: str, said: str, folds: int | None
) -> None:
    file = folder / "template.py"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    with pytest.raises(InputError, match=rf"Template.*{said}"):
        fitted(folder, folds).save(folder / "saved")
    assert not (folder / "saved").exists()


@pytest.mark.slow
def test_the_commands_fit_evaluate_and_score_it(folder: Path) -> None:
    files = "--trust template.py --trust mine.py"
    fit = "fit tiny.yaml --cohort data/manifest.csv --out saved --max-fpr 0.2"
    done = typed(f"{fit} --detector template.py:Template {files}", folder)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()[-1].partition(" midclass ")[2]
    assert told == f"evaluate saved --cohort data/manifest.csv {files}"
    done = typed(told, folder)
    assert done.returncode == 0, done.stderr
    done = typed(f"score saved --cohort data/manifest.csv --part test --out s.csv {files}", folder)
    assert done.returncode == 0, done.stderr
    tables = [ScoreTable.read(folder / name) for name in ("saved/evaluation/scores.csv", "s.csv")]
    assert tables[0].score.tobytes() == tables[1].score.tobytes()
    refused = typed("evaluate saved --cohort data/manifest.csv --trust mine.py --out other", folder)
    assert refused.returncode == 2
    assert "template.py:Template is of a file of yours" in refused.stderr
    assert "pass --trust template.py" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_two_trusted_files_of_one_name_are_not_taken_for_one_another(folder: Path) -> None:
    file = saved_with_phantoms(folder)
    (folder / "copy").mkdir()
    both = [file, Path(shutil.copy(file, folder / "copy"))]
    with pytest.raises(InputError, match=r"2 trusted files are called template\.py"):
        load_detector(folder / "d", both)
