"""Framing: images that show the anatomy otherwise than those to learn from are said to."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import makers
from midclass import Cohort, Detector, prepare_array
from midclass.cli.commands import score
from midclass.cli.options import Options
from midclass.detectors.folds import Folds
from midclass.detectors.framing import ASKED, FEWEST, ONE_SIDE, Framing, sides_of, warning
from midclass.detectors.site import move_threshold, set_threshold
from midclass.images.case import Case
from midclass.images.prepared import Prepared


def lying(n: int, seed: int, down: int = 0) -> np.ndarray:
    """Discs, so many pixels further down."""
    return np.roll(makers.discs(n, seed), down, axis=2)


@pytest.fixture(scope="module")
def fitted() -> Detector:
    recipe = makers.trained_recipe()
    given = prepare_array(lying(60, seed=0), recipe, label=0)
    return makers.Brightness(recipe, max_fpr=0.2).fit(given)


def said(detector: Detector, prepared: Prepared) -> list[str]:
    return Framing(sides_of(detector, prepared)).otherwise()


def test_discs_that_lie_lower_are_said_to_and_others_are_not(fitted: Detector) -> None:
    alike = prepare_array(lying(40, seed=1), fitted.recipe)
    lower = prepare_array(lying(40, seed=1, down=3), fitted.recipe)
    higher = prepare_array(lying(40, seed=1, down=-3), fitted.recipe)
    assert said(fitted, alike) == []
    assert said(fitted, lower) == ["it lies lower in 100% of them"]
    assert said(fitted, higher) == ["it lies higher in 100% of them"]


def test_disease_is_no_reason(fitted: Detector) -> None:
    ill = prepare_array(makers.discs(40, seed=1, square=0.4), fitted.recipe)
    assert said(fitted, ill) == []


def test_many_images_of_few_patients_say_nothing(fitted: Detector) -> None:
    lower = prepare_array(lying(60, seed=1, down=3), fitted.recipe)
    cases = tuple(replace(case, patient_id=f"p{n % 10}") for n, case in enumerate(lower.cases))
    assert said(fitted, replace(lower, cases=Cohort(cases))) == []


def one_image(side: int) -> tuple[int, ...]:
    """Above the median of the first trait, below it (-1), or neither; near that of the others."""
    return (1, int(side > 0), int(side < 0), *[0] * (2 * len(ASKED) - 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1, 0, 1, 1, 1, 1]), max_size=60), st.integers(1, 4))
def test_what_is_said_depends_neither_on_blocks_nor_on_how_many_images_a_patient_has(
    column: list[int], each: int
) -> None:
    whole, parts = Framing({f"p{n}": one_image(side) for n, side in enumerate(column)}), Framing()
    for _ in range(each):
        parts.add(whole.sides)
    assert whole.otherwise() == parts.otherwise()
    above, below = column.count(1), column.count(-1)
    if len(column) < FEWEST or max(above, below) < ONE_SIDE * len(column):
        assert whole.otherwise() == []


def test_of_fewer_than_20_patients_nothing_is_said() -> None:
    sides = {f"p{n}": one_image(1) for n in range(FEWEST)}
    assert Framing(dict(sides)).otherwise() == ["it takes more of the height in 100% of them"]
    del sides["p0"]
    assert Framing(sides).otherwise() == []


def test_patients_of_whose_slices_a_little_more_than_half_lie_on_one_side_are_alike() -> None:
    """Slices of all patients go through the same places: most of each are beyond the median."""
    patient = Framing()
    for side in (1, 1, 1, -1, -1):
        patient.add({"p": one_image(side)})
    assert Framing({f"p{n}": patient.sides["p"] for n in range(200)}).otherwise() == []


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(FEWEST, 60))
def test_patients_like_those_to_learn_from_are_rarely_said_to_be_otherwise(
    seed: int, count: int
) -> None:
    rng = np.random.default_rng(seed)
    sides = {f"p{n}": one_image(int(rng.choice([-1, 1]))) for n in range(count)}
    assert Framing(sides).otherwise() == []


def test_score_says_so_until_local_normals_set_the_threshold(
    fitted: Detector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted.save(det := tmp_path / "det")
    cases = []
    for number, disc in enumerate(lying(30, seed=5, down=3)):
        file = tmp_path / f"{number}.png"
        Image.fromarray((disc[0] * 255).astype(np.uint8)).save(file)
        cases.append(Case(f"c{number}", file, 0, f"p{number}"))
    options = Options.of([Path("makers")])
    assert score.run(det, Cohort(tuple(cases)), options, out=tmp_path / "a.csv")
    told = capsys.readouterr()
    assert "it lies lower in 100% of them" in told.out + told.err
    local = copy(fitted)
    set_threshold(local, prepare_array(lying(30, seed=6, down=3), fitted.recipe, label=0), det)
    local.save(tmp_path / "local")
    capsys.readouterr()
    score.run(tmp_path / "local", Cohort(tuple(cases)), options, out=tmp_path / "b.csv")
    told = capsys.readouterr()
    assert "it lies lower" not in told.out + told.err
    elsewhere = prepare_array(lying(60, seed=7, down=3), fitted.recipe)
    moved = copy(fitted)
    move_threshold(moved, elsewhere, det)  # nobody has looked at these
    assert (otherwise := said(moved, elsewhere)) == said(fitted, elsewhere) != []
    assert "--unlabelled" in warning(otherwise, fitted)
    assert "--unlabelled of the detector of before" in warning(otherwise, moved)
    moved.parent_, moved.folds_ = None, Folds((), ())
    assert "--unlabelled" not in warning(otherwise, moved)  # nor what learned in folds
