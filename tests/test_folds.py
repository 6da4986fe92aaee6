"""Few given-class cases: laws of cross-conformal calibration and of learning in folds."""

from __future__ import annotations

import inspect
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from makers import (
    Brightness,
    Memory,
    cross_conformal_p,
    discs,
    of_target_class,
    recipe,
    trained_recipe,
    with_samples,
)
from midclass import (
    Cohort,
    Detector,
    ImageBatch,
    InputError,
    Lesson,
    MiddleClassDetector,
    Prepared,
    load_detector,
    prepare_array,
)
from midclass.detectors.baselines.intensity import MeanAndSpread
from midclass.detectors.baselines.supervised import Weighted
from midclass.detectors.folds import divided, number_of_folds
from midclass.detectors.parts import parted
from midclass.detectors.workplace import Workplace
from midclass.training.state import STATE


def prepared(n: int, each: int = 1, seed: int = 0) -> Prepared:
    """Given-class discs, ``each`` of them, looking the same, of one patient."""
    images = np.repeat(discs(-(-n // each), seed), each, axis=0)[:n]
    found = prepare_array(images, trained_recipe(), spacing_mm=1.0)
    cases = [replace(c, patient_id=f"p{i // each:02}") for i, c in enumerate(found.cases)]
    return replace(found, cases=Cohort(tuple(cases)))


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepared(60)


@pytest.fixture(scope="module")
def unseen() -> Prepared:
    images = np.concatenate([discs(30, seed=1), discs(10, seed=2, square=0.3)])
    return prepare_array(images, trained_recipe(), spacing_mm=1.0)


def test_every_case_calibrates_once_and_where_its_patient_was_not_learned_from() -> None:
    """Two cases a patient, which look the same: a fold that knew one would know the other."""
    detector = Memory(recipe()).fit(prepared(60, each=2), max_fpr=0.05)
    assert detector.folds_ is not None
    assert set(np.concatenate(detector.folds_.calibrations)) == {1.0}
    assert [len(values) for values in detector.folds_.calibrations] == [12] * 5
    assert len(detector.calibration_) == 60
    for member in detector.folds_.members:
        assert len(np.unique(member.seen.numpy().round(4), axis=0)) == 24  # all other patients
    found = divided(prepared(60, each=2).cases, (), 0, 5)
    assert sorted(case.case_id for fold in found for case in fold) == sorted(
        case.case_id for case in prepared(60, each=2).cases
    )
    assert sum(len(fold.patients) for fold in found) == 30


def test_39_cases_promise_5_percent_and_38_are_refused_with_a_way_out() -> None:
    detector = Brightness(recipe()).fit(prepared(39))
    assert (detector.max_fpr_, len(detector.calibration_)) == (0.05, 39)
    message = r"0\.05 cannot be promised with 38 .*need 39.*give 1 more or raise max_fpr to 0\.052$"
    with pytest.raises(InputError, match=message):
        Brightness(recipe()).fit(prepared(38))
    assert len(Brightness(recipe()).fit(prepared(38), max_fpr=0.052).calibration_) == 38


def test_folds_are_taken_only_where_the_part_held_out_is_too_small(tmp_path: Path) -> None:
    """What could be promised before is fitted as before, to the last byte."""
    enough, too_few = prepared(95), prepared(94)
    assert MeanAndSpread(recipe()).fit(too_few, max_fpr=0.1).folds_ is None
    for name, asked in (("now", None), ("before", 0), ("one", 1)):
        detector = MeanAndSpread(recipe()).fit(enough, folds=asked)
        assert detector.folds_ is None
        detector.save(tmp_path / name)
    files = [tmp_path / name for name in ("now", "before", "one")]
    assert len({(file / "detector.json").read_bytes() for file in files}) == 1
    assert "folds" not in json.loads((files[0] / "detector.json").read_text())
    assert len(MeanAndSpread(recipe()).fit(prepared(90)).folds_ or ()) == 5
    with pytest.raises(InputError, match="with 18 calibration cases"):
        MeanAndSpread(recipe()).fit(prepared(90), folds=0)


@pytest.mark.parametrize(
    ("patients", "asked", "expected"),
    [(60, None, 5), (4, None, 4), (3, None, 3), (60, 60, 60), (60, 2, 2), (60, 1, 0), (60, 0, 0)],
)
def test_few_patients_have_fewer_folds(patients: int, asked: int | None, expected: int) -> None:
    free = prepared(60, each=60 // patients).cases
    assert number_of_folds(asked, 0.05, 12, free) == expected


@pytest.mark.parametrize(
    ("patients", "asked", "message"),
    [
        (2, None, "3 patients or more"),
        (3, 2, "3 to 3 folds"),
        (5, 6, "3 to 5 folds"),
        (9, -1, "-1"),
    ],
)
def test_folds_that_leave_too_few_patients_are_refused(
    patients: int, asked: int | None, message: str
) -> None:
    free = prepared(10 * patients, each=10).cases
    with pytest.raises(InputError, match=message):
        number_of_folds(asked, 0.2, 1, free)


def test_flag_decision_and_p_value_say_the_same_of_every_case(
    given: Prepared, unseen: Prepared
) -> None:
    detector = MeanAndSpread(trained_recipe()).fit(given)
    assert detector.folds_ is not None
    decision, flags = detector.decision_function(unseen), detector.predict(unseen)
    p_values = detector.p_values(detector.score_samples(unseen))
    np.testing.assert_array_equal(flags == 1, decision > 0)
    np.testing.assert_array_equal(flags == 1, p_values <= 0.05)
    by_fold = np.stack(
        [member.scores_of(member.looks(unseen), unseen) for member in detector.folds_.members], 1
    )
    np.testing.assert_array_equal(
        p_values, cross_conformal_p(detector.folds_.calibrations, by_fold)
    )
    assert 0 < flags.sum() < len(flags)
    assert len(np.unique(decision)) == len(decision)  # a ranking, not 61 steps


def test_a_case_of_several_samples_counts_by_its_most_abnormal_one_in_each_fold(
    unseen: Prepared,
) -> None:
    detector = MeanAndSpread(trained_recipe()).fit(prepared(60))
    assert detector.folds_ is not None
    several = with_samples(unseen, each=4)
    by_fold = np.stack(
        [member.scores_of(member.looks(unseen), unseen) for member in detector.folds_.members], 1
    )
    highest = by_fold.reshape(-1, 4, 5).max(1)
    p_values = detector.p_values(detector.score_samples(several))
    np.testing.assert_array_equal(
        p_values, cross_conformal_p(detector.folds_.calibrations, highest)
    )


def test_what_is_not_assessed_neither_calibrates_nor_has_a_score(
    given: Prepared, unseen: Prepared
) -> None:
    holes, shown = without_anatomy(given, 7), without_anatomy(unseen, 2)
    detector = MeanAndSpread(trained_recipe()).fit(holes)
    assert len(detector.calibration_) == 53
    assert (detector.cases_, detector.not_assessed_) == ({"given": 60}, {"given": 7})
    scores = detector.score_samples(shown)
    assert np.isnan(scores).tolist() == [True] * 2 + [False] * 38
    assert np.isnan(detector.p_values(scores)).tolist() == np.isnan(scores).tolist()
    assert detector.predict(shown)[:2].tolist() == [1, 1]
    nothing = shown.subset(shown.cases[:2])
    assert np.isnan(detector.score_samples(nothing)).all()
    with pytest.raises(InputError, match="38 given-class cases that can be assessed"):
        MeanAndSpread(trained_recipe()).fit(without_anatomy(given, 22))


def without_anatomy(whole: Prepared, first: int) -> Prepared:
    """The same samples, the first of them without anatomy."""
    batch = whole.batch(slice(None))
    anatomy = batch.anatomy.clone()
    anatomy[:first] = False
    return whole.showing(replace(batch, anatomy=anatomy))


def test_heat_maps_are_the_mean_of_the_folds_and_inside_the_anatomy(
    given: Prepared, unseen: Prepared
) -> None:
    class Bright(Brightness):
        makes_heat_maps = True

        def learn(self, lesson: Lesson) -> None:
            self.shade = float(lesson.train.batch([0]).pixels.mean())

        def score(self, images: ImageBatch) -> tuple[Tensor, Any]:
            return images.pixels.mean((1, 2, 3)), torch.full_like(images.pixels, self.shade)

    detector = Bright(trained_recipe()).fit(given)
    assert detector.folds_ is not None
    shades = [member.shade for member in detector.folds_.members]
    assert len(set(shades)) > 1
    inside = unseen.masks()[:, 0]
    maps = detector.heat_maps(unseen)
    np.testing.assert_allclose(maps[inside], np.mean(shades), rtol=1e-5)
    assert not maps[~inside].any()


def test_members_share_nothing_that_learning_fills(given: Prepared) -> None:
    class Hoard(Memory):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.heap: list[Tensor] = []

        def learn(self, lesson: Lesson) -> None:
            super().learn(lesson)
            self.heap.append(self.seen)
            self.seen = torch.cat(self.heap)

    detector = Hoard(recipe()).fit(given)
    assert detector.folds_ is not None
    assert set(np.concatenate(detector.folds_.calibrations)) == {1.0}


def test_a_fit_without_folds_after_one_with_folds_forgets_them(given: Prepared) -> None:
    detector = MeanAndSpread(trained_recipe()).fit(given)
    again = detector.fit(given, max_fpr=0.1)
    fresh = MeanAndSpread(trained_recipe()).fit(given, max_fpr=0.1)
    assert again.folds_ is None
    np.testing.assert_array_equal(again.score_samples(given), fresh.score_samples(given))


def test_an_ill_case_among_those_that_calibrate_is_named_first(given: Prepared) -> None:
    class OnScalesOfTheirOwn(Brightness):
        """What learns from fewer of the odd ones has scores a hundred times as high."""

        learned = itertools.count()

        def learn(self, lesson: Lesson) -> None:
            self.scale = 100.0 ** (next(self.learned) % 3)

        def score(self, images: ImageBatch) -> tuple[Tensor, None]:
            return images.pixels.mean((1, 2, 3)) * self.scale, None

    names = [case.case_id for case in given.cases]
    calibrating = [case.case_id for case in parted(given.cases, set(), 0)["calibrate"]]
    odd = calibrating[1], calibrating[-1]
    pixels = given.batch(range(len(names))).pixels[:, 0].numpy() / 2
    for k, name in enumerate(odd):
        pixels[names.index(name)] += 0.5 - 0.2 * k
    made = prepare_array(pixels, trained_recipe(), spacing_mm=1.0)
    images = replace(made, cases=given.cases)
    in_folds = OnScalesOfTheirOwn(trained_recipe()).fit(images, max_fpr=0.05, seed=0, folds=3)
    assert set(in_folds.highest_[:2]) == set(odd)
    alone = Brightness(trained_recipe()).fit(images, max_fpr=0.1, seed=0, folds=0)
    assert alone.highest_[:2] == odd
    assert len(set(alone.highest_)) == len(set(in_folds.highest_)) == 5
    of_two = [replace(case, patient_id=str(k % 20)) for k, case in enumerate(images.cases)]
    of_few = Brightness(trained_recipe()).fit(
        replace(images, cases=Cohort(tuple(of_two))), max_fpr=0.1, seed=0, folds=0
    )
    whose = {case.case_id: case.patient_id for case in of_two}
    assert len({whose[name] for name in of_few.highest_}) == len(of_few.highest_) > 1
    assert set(alone.highest_) <= set(calibrating)


def test_known_patients_are_learned_from_in_every_fold_and_calibrate_in_none(
    given: Prepared,
) -> None:
    class Watched(Weighted):
        def learn(self, lesson: Lesson) -> None:
            super().learn(lesson)
            self.learned = {case.case_id for case in lesson.train.cases}

    positives = of_target_class(prepared(4, seed=7))
    mine = [replace(c, patient_id=f"p{i:02}") for i, c in enumerate(positives.cases)]
    same = replace(positives, cases=Cohort(tuple(mine)))
    detector = Watched(trained_recipe(steps=1, checkpoints=1)).fit(given, positives=same)
    assert detector.folds_ is not None
    assert len(detector.calibration_) == 56
    for member in detector.folds_.members:
        assert {case.case_id for case in given.cases[:4]} <= member.learned
    assert detector.cases_ == {"given": 60, "positives": 4}


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MiddleClassDetector, MeanAndSpread])
def test_two_fits_in_folds_are_the_same_to_the_byte(
    kind: type[Detector], given: Prepared, unseen: Prepared
) -> None:
    one, other = (kind(trained_recipe()).fit(given, max_fpr=0.05, folds=3) for _ in range(2))
    assert one.score_samples(unseen).tobytes() == other.score_samples(unseen).tobytes()


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_from_its_fold_to_the_same_bytes(
    given: Prepared, unseen: Prepared, tmp_path: Path
) -> None:
    task = trained_recipe(steps=4, checkpoints=4)

    def stop(step: int, steps: int, text: str) -> None:
        assert steps == 20
        if step == 12:  # in the third of five folds
            raise KeyboardInterrupt

    seen: list[int] = []
    whole = Workplace(tmp_path / "whole", task, given, 0, "middle_class")
    whole.fit(MiddleClassDetector(task), 0.05)
    place = Workplace(tmp_path / "parts", task, given, 0, "middle_class")
    with pytest.raises(KeyboardInterrupt, match="goes on from the last checkpoint"):
        place.fit(MiddleClassDetector(task), 0.05, stop)
    place.fit(MiddleClassDetector(task), 0.05, lambda step, *_: seen.append(step))
    assert seen == list(range(12, 21))
    one, two = (tmp_path / name for name in ("whole", "parts"))
    assert {file.name for file in one.iterdir()} == {file.name for file in two.iterdir()}
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()
    scores = load_detector(one).score_samples(unseen)
    assert np.isfinite(scores).all()


def test_a_fit_in_other_folds_does_not_go_on_from_these(given: Prepared, tmp_path: Path) -> None:
    task = trained_recipe()
    left = Workplace(tmp_path / "out", task, given, 0, "middle_class", folds=4)
    left.folder.mkdir()
    (left.folder / "call.json").write_text(json.dumps(left.call))
    (left.folder / STATE).touch()  # without a checkpoint nothing would be lost
    with pytest.raises(InputError, match="another folds"):
        Workplace(tmp_path / "out", task, given, 0, "middle_class").open(overwrite=False)
    old = {name: value for name, value in left.call.items() if name != "folds"}
    (left.folder / "call.json").write_text(json.dumps(old))  # as an earlier version left it
    Workplace(tmp_path / "out", task, given, 0, "middle_class").open(overwrite=False)


def every_detector() -> list[type[Detector]]:
    """Those of ``test_detectors``, found anew here: test files do not import each other."""
    import importlib

    from midclass.detectors.catalogue import detector_names

    modules = [importlib.import_module(name) for name in detector_names().values()]
    return [
        item
        for module in modules
        for _, item in inspect.getmembers(module, inspect.isclass)
        if item.__module__ == module.__name__ and issubclass(item, Detector)
        if not inspect.isabstract(item)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", every_detector(), ids=lambda kind: kind.__name__)
def test_every_detector_learns_in_folds_and_is_saved(
    kind: type[Detector], given: Prepared, unseen: Prepared, tmp_path: Path
) -> None:
    positives = of_target_class(prepared(4, seed=7)) if kind.needs_positives else None
    fitted = kind(trained_recipe()).fit(given, positives=positives, max_fpr=0.05, folds=3)
    scores = fitted.score_samples(unseen)
    fitted.save(tmp_path / "saved")
    loaded = load_detector(tmp_path / "saved")
    assert loaded.score_samples(unseen).tobytes() == scores.tobytes()
    assert (loaded.threshold_, loaded.promise()) == (fitted.threshold_, fitted.promise())
    flags = (loaded.p_values(scores) <= 0.05).astype(int)
    np.testing.assert_array_equal(loaded.predict(unseen), flags)
    if kind.makes_heat_maps:
        maps = loaded.heat_maps(unseen)
        np.testing.assert_array_equal(maps, fitted.heat_maps(unseen))
        assert 0 <= maps.min() <= maps.max() <= 1
