"""The judge: middle classes of held-out patients choose, and what nobody described is told."""

from __future__ import annotations

import numpy as np
import pytest

from makers import discs, seeded, trained_recipe
from midclass import ImageBatch, InputError, MiddleClassDetector, Prepared, prepare_array
from midclass.detectors import held_out
from midclass.detectors.judge import Judge, look, raw_scores
from midclass.detectors.parts import parted
from midclass.evaluation.metrics import auroc

BALL = {"operator": "focal.Focal", "diameter_mm": [5, 12]}


def fitted(fields: dict[str, object] | None = None) -> tuple[MiddleClassDetector, Judge]:
    """A detector, and its judge with the same patients once more."""
    recipe = trained_recipe(fields=fields)
    samples: Prepared = prepare_array(discs(60, seed=0), recipe, spacing_mm=1.0, label=0)
    detector = MiddleClassDetector(recipe)
    detector.fit(samples, max_fpr=0.1)
    parts = parted(samples.cases, set(), 0)
    learned, select = (samples.subset(parts[name]) for name in ("train", "select"))
    return detector, detector.judge(learned, select, 0)


def told_apart(detector: MiddleClassDetector, given: ImageBatch, middle: ImageBatch) -> float:
    scores = [
        detector.combination_(raw_scores(look(detector.networks_, one), one, detector.given_))
        for one in (given, middle)
    ]
    return auroc(np.repeat([0, 1], [len(given), len(middle)]), np.concatenate(scores))


def brightened(images: ImageBatch, others: ImageBatch) -> float:
    """By how much the brightest pixels of the images are brighter than those of others."""
    tops = [one.pixels.flatten(1).amax(1).median() for one in (images, others)]
    return float(tops[0] - tops[1])


def test_the_recipes_own_operators_choose_and_held_out_ones_are_told_beside() -> None:
    detector, judge = fitted()
    history = detector.history_
    chosen = history["validation"][history["best"]]
    assert chosen == pytest.approx(told_apart(detector, judge.select, judge.middles))
    beside = told_apart(detector, judge.select, judge.undescribed)
    assert history["undescribed"] == pytest.approx(beside)
    assert beside != pytest.approx(chosen)
    assert brightened(judge.middles, judge.select) > 0.05  # balls; held out is a deformation
    assert brightened(judge.undescribed, judge.select) < 0.02


def test_without_held_out_operators_nothing_is_said_of_them() -> None:
    detector, judge = fitted({"held_out": {}})
    assert len(judge.undescribed) == 0
    assert detector.history_["undescribed"] is None


def test_of_many_patients_no_more_middle_classes_are_seen_than_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(held_out, "MOST", 7)
    recipe = trained_recipe(
        fields={"middle_classes": {"a": BALL, "b": {**BALL, "sign": "dark"}}, "floor": 0.0}
    )
    given = prepare_array(discs(20, seed=0), recipe, spacing_mm=1.0).batch(slice(None))
    middles = held_out.held_out_middles(recipe, given, seeded())
    assert len(middles) == 6  # three of each operator
    few = held_out.held_out_middles(recipe, given[:2], seeded())
    assert len(few) == 4


def test_middle_classes_of_which_none_can_be_seen_are_refused() -> None:
    invisible = {
        "operator": "focal.Focal",
        "diameter_mm": [4, 6],
        "contrast_sigma": [0.001, 0.002],
        "why": "a lesion that nobody sees",
    }
    with pytest.raises(InputError, match=r"middle_classes: ball left no visible change"):
        fitted({"middle_classes": {"ball": invisible}})
