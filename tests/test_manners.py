"""scikit-learn's manners: detectors take arrays, labels and patients as its tools give them."""

from __future__ import annotations

import builtins
import itertools
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from makers import discs, recipe, trained_recipe
from midclass import Detector, InputError, MiddleClassDetector, ScoreTable, prepare_array
from midclass.detectors.baselines.pca import PCA
from midclass.evaluation import plots
from midclass.evaluation.report import report
from test_detectors import detectors

RECIPE = recipe(budget={"standardise": False})
IMAGES = np.concatenate([discs(120, seed=0), discs(20, seed=1, square=0.3)])
LABEL = np.repeat([0, 1], [120, 20])
PATIENTS = np.arange(140) // 2


def bytes_of(images: np.ndarray) -> np.ndarray:
    return (255 * images).round().astype(np.uint8)


@pytest.fixture(scope="module")
def fitted() -> PCA:
    return PCA(RECIPE, max_fpr=0.1).fit(IMAGES[:120], groups=PATIENTS[:120])


@pytest.mark.parametrize("kind", detectors(), ids=lambda kind: kind.__name__)
class TestEveryDetector:
    def test_is_cloned_with_its_parameters_and_without_what_it_learned(
        self, kind: type[Detector]
    ) -> None:
        one = kind(trained_recipe(), max_fpr=0.2, seed=7, folds=3, spacing_mm=1.5)
        one.threshold_ = 1.0
        other = clone(one)
        assert type(other) is kind
        assert other.get_params() == one.get_params()
        assert not hasattr(other, "threshold_")
        assert is_classifier(other)

    def test_says_that_it_is_not_fitted(self, kind: type[Detector], tmp_path: Any) -> None:
        one = kind(trained_recipe())
        for call in (one.predict, one.decision_function, one.score_samples):
            with pytest.raises(NotFittedError, match="is not fitted yet"):
                call(IMAGES)
        with pytest.raises(NotFittedError):
            one.save(tmp_path / "saved")
        if kind.makes_heat_maps:
            with pytest.raises(NotFittedError):
                one.heat_maps(IMAGES)


@pytest.mark.slow
def test_a_detector_is_cross_validated_by_patient() -> None:
    one = MiddleClassDetector(trained_recipe(), max_fpr=0.2, spacing_mm=1.0)
    folds = cross_val_score(
        one,
        bytes_of(IMAGES)[:, 0],
        LABEL,
        groups=PATIENTS,
        cv=GroupKFold(2),
        scoring="roc_auc",
        params={"groups": PATIENTS},
        error_score="raise",
    )
    assert folds.shape == (2,)
    assert ((folds >= 0) & (folds <= 1)).all()


def test_cross_validation_of_what_is_easy_is_perfect_without_a_minus() -> None:
    one = PCA(RECIPE, max_fpr=0.1)
    folds = cross_val_score(
        one, IMAGES, LABEL, groups=PATIENTS, cv=GroupKFold(2), scoring="roc_auc"
    )
    assert folds.min() > 0.95


def test_a_pipeline_ends_in_a_detector() -> None:
    darker = FunctionTransformer(lambda images: images / 2)
    line = Pipeline([("darker", darker), ("detector", PCA(RECIPE, max_fpr=0.1))])
    line.fit(IMAGES, LABEL, detector__groups=PATIENTS)
    alone = PCA(RECIPE, max_fpr=0.1).fit(IMAGES / 2, LABEL, groups=PATIENTS)
    expected = alone.decision_function(IMAGES / 2)
    np.testing.assert_array_equal(line.decision_function(IMAGES), expected)
    np.testing.assert_array_equal(line.predict(IMAGES), (expected > 0).astype(int))
    assert roc_auc_score(LABEL, expected) > 0.95


def test_target_class_rows_are_not_learned_from(fitted: PCA) -> None:
    labelled = PCA(RECIPE, max_fpr=0.1).fit(IMAGES, LABEL, groups=PATIENTS)
    assert labelled.score_samples(IMAGES).tobytes() == fitted.score_samples(IMAGES).tobytes()
    assert labelled.threshold_ == fitted.threshold_


def test_arrays_are_learned_from_as_prepared_images_are(fitted: PCA) -> None:
    patients = PATIENTS[:120]
    prepared = prepare_array(IMAGES[:120], RECIPE, patients=patients, label=0)
    same = PCA(RECIPE).fit(prepared, max_fpr=0.1)
    assert same.score_samples(IMAGES).tobytes() == fitted.score_samples(IMAGES).tobytes()
    assert fitted.patients_ == {"train": 42, "select": 6, "calibrate": 12}
    with pytest.raises(InputError, match="prepared images know their labels"):
        PCA(RECIPE).fit(prepared, groups=patients)


@settings(deadline=None, max_examples=10)
@drawn(st.sampled_from([np.uint8, np.uint16]), st.booleans(), st.integers(0, 9))
def test_whole_numbers_are_parts_of_the_largest_of_their_kind(
    kind: type[np.unsignedinteger[Any]], flat: bool, seed: int
) -> None:
    largest = np.iinfo(kind).max
    pixels = np.random.default_rng(seed).integers(0, largest, (2, 32, 32), kind, endpoint=True)
    one = prepare_array(pixels if flat else pixels[:, None], RECIPE)
    other = prepare_array(pixels[:, None] / np.float32(largest), RECIPE)
    assert one.images().tobytes() == other.images().tobytes()


def test_parameters_are_of_the_fit_where_it_is_not_told_otherwise() -> None:
    one = PCA("phantoms").set_params(recipe=RECIPE, max_fpr=0.2, seed=3)
    one.fit(IMAGES[:120])
    assert (one.max_fpr_, one.origin_.seed) == (0.2, 3)
    one.fit(IMAGES[:120], max_fpr=0.1, seed=4)
    assert (one.max_fpr_, one.origin_.seed) == (0.1, 4)
    assert PCA("phantoms").recipe.name == "phantoms"
    with pytest.raises(ValueError, match="Invalid parameter 'steps'"):
        one.set_params(steps=3)


@pytest.mark.parametrize(
    ("fitting", "message"),
    [
        ({"y": LABEL[:3]}, r"y of shape \(3,\), expected 140 labels"),
        ({"y": LABEL + 1}, "0 .given class. or 1"),
        ({"y": np.ones(140)}, "y has no 0"),
        ({"y": ["ill"] * 140}, "y has 'ill', expected 140 labels"),
        ({"groups": PATIENTS[:-1]}, r"groups of shape \(139,\)"),
        *(({"max_fpr": no}, "max_fpr is .*; give a rate") for no in ("5%", 5, [0.1], np.nan)),
        *(({"seed": no}, "seed is .*; give a whole number") for no in (-1, 1.5, "a", 2**63)),
        *(({"folds": no}, "folds is .*; give 0 for none") for no in (-1, 2.5, "3")),
    ],
)
def test_labels_and_patients_that_do_not_fit_are_refused(
    fitting: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        PCA(RECIPE).fit(IMAGES, **fitting)


def test_numbers_of_numpy_are_numbers() -> None:
    plain = PCA(RECIPE).fit(IMAGES[:120], max_fpr=0.25, seed=3, folds=3)
    numpy = PCA(RECIPE).fit(
        IMAGES[:120], max_fpr=np.float32(0.25), seed=np.int64(3), folds=np.int8(3)
    )
    assert numpy.origin_ == plain.origin_
    assert numpy.threshold_ == plain.threshold_


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_what_is_masked_is_not_looked_at(fitted: PCA, kind: type[Any]) -> None:
    largest = np.iinfo(kind).max if kind is not np.float32 else 1
    images = np.ma.masked_array((IMAGES[:4] * largest).astype(kind))
    images[2, 0, 3, 3] = np.ma.masked
    scores = fitted.score_samples(images)
    assert np.isnan(scores).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(scores[:2], fitted.score_samples(images.data[:2]))
    with pytest.raises(InputError, match=r"array\[2\]: has pixels that are no number"):
        PCA(RECIPE).fit(images)


@pytest.mark.parametrize("wrong", [IMAGES[:2] * 1j, np.array(["a", "b"]), [[["a"]], [["b"]]]])
def test_what_is_no_number_is_refused(fitted: PCA, wrong: Any) -> None:
    with pytest.raises(InputError, match=r"expected real numbers|no numbers"):
        fitted.score_samples(wrong)


@pytest.mark.parametrize(
    ("wrong", "why"), [(0.0, "nothing to see"), (np.nan, "no number"), (np.inf, "no number")]
)
def test_images_that_cannot_be_used_cost_the_others_nothing(
    fitted: PCA, wrong: float, why: str
) -> None:
    images = IMAGES[:12].copy()
    images[[0, 4, 11]] = wrong
    seen = [n for n in range(12) if n not in (0, 4, 11)]
    scores = fitted.score_samples(images)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [0, 4, 11]
    np.testing.assert_array_equal(scores[seen], fitted.score_samples(images[seen]))
    assert fitted.predict(images)[[0, 4, 11]].tolist() == [1, 1, 1]
    assert fitted.predict(images, "leave")[[0, 4, 11]].tolist() == [-1, -1, -1]
    maps = fitted.heat_maps(images)
    assert np.isnan(maps).all((1, 2)).tolist() == np.isnan(scores).tolist()
    np.testing.assert_array_equal(maps[seen], fitted.heat_maps(images[seen]))
    reasons = fitted.reasons(images)
    assert sorted(reasons) == [0, 4, 11]
    assert "array[4]: " in reasons[4]
    assert why in reasons[4]


def test_where_no_image_can_be_used_none_is_normal(fitted: PCA) -> None:
    """One alone, too, as in a loop over images, and by a detector that learned in folds."""
    in_folds = PCA(RECIPE).fit(IMAGES[:60], folds=3, max_fpr=0.2)
    for detector, number in itertools.product((fitted, in_folds), (1, 3)):
        dark = np.zeros_like(IMAGES[:number])
        assert detector.predict(dark).tolist() == [1] * number
        assert np.isnan(detector.score_samples(dark)).all()
        assert np.isnan(detector.heat_maps(dark)).all()
        assert sorted(detector.reasons(dark)) == list(range(number))


def test_why_a_case_cannot_be_assessed_is_told_of_arrays_as_of_prepared_images(
    fitted: PCA,
) -> None:
    images = np.concatenate([np.zeros_like(IMAGES[:1]), 0.01 + 0.001 * IMAGES[:2], IMAGES[:2]])
    prepared = prepare_array(images[1:], RECIPE)
    told = fitted.reasons(images)
    assert {n + 1: why for n, why in fitted.reasons(prepared).items()} | {0: told[0]} == told


@pytest.mark.parametrize("missing", [None, np.nan, "", " ", "nan", np.datetime64("NaT")])
def test_an_image_of_whom_nobody_knows_is_of_a_patient_of_its_own(missing: object) -> None:
    groups = [*([missing] * 60), *(f"p{n // 2}" for n in range(60))]
    detector = PCA(RECIPE, max_fpr=0.1).fit(IMAGES[:120], groups=groups)
    assert sum(detector.patients_.values()) == 60 + 30
    prepared = prepare_array(IMAGES[:4], RECIPE, patients=["a", missing, missing, "a"])
    assert len(prepared.cases.patients) == 3
    assert len(prepare_array(IMAGES[:3], RECIPE, patients=[7, 7.0, 8]).cases.patients) == 2


def test_images_of_several_sizes_are_no_array(fitted: PCA) -> None:
    with pytest.raises(InputError, match="images of several sizes are prepared as files"):
        fitted.predict([IMAGES[0, 0], IMAGES[1, 0, :10]])


def test_arrays_of_other_kinds_are_refused() -> None:
    for wrong, message in (
        (np.zeros((3, 9)), r"shape \(3, 9\), expected \(n, h, w\)"),
        (np.full((2, 32, 32), 200), "int64 from 200 to 200, expected uint8"),
        (np.full((2, 32, 32), np.nan), "2 of 2 cases cannot be prepared: .*no number"),
    ):
        with pytest.raises(InputError, match=message):
            prepare_array(wrong, RECIPE)


TABLE = ScoreTable.of([*"abc"], [*"pqr"], [0, 1, 1], [0.25, 0.5, np.nan], threshold=0.4)


def test_a_table_becomes_a_frame_where_pandas_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=dict))
    frame = TABLE.to_frame()
    assert list(frame) == list(TABLE.columns())
    assert frame["flagged"].tolist() == [False, True, False]
    assert frame["review"].tolist() == [False, True, True]


def test_a_table_says_where_there_is_no_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = builtins.__import__

    def without(name: str, *more: Any, **named: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return usual(name, *more, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install pandas, or take columns\(\)"):
        TABLE.to_frame()


def test_a_plot_is_returned_with_or_without_a_file(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(40)]
    table = ScoreTable.of(names, names, np.arange(40) % 2, rng.normal(size=40), threshold=0.5)
    figures = report(table, 0.1)
    shown = plots.roc(None, "title", table, figures)
    kept = plots.roc(tmp_path / "roc.png", "title", table, figures)
    assert shown.axes[0].get_title(loc="left") == kept.axes[0].get_title(loc="left") == "title"
    assert [path.name for path in tmp_path.iterdir()] == ["roc.png"]
