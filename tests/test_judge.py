"""The judge: middle classes of held-out patients choose, and what nobody described is told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from makers import discs, seeded, trained_recipe
from midclass import ImageBatch, InputError, MiddleClassDetector, Prepared, prepare_array
from midclass.cli.commands.fit import tell_checkpoint
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
    assert chosen == pytest.approx(told_apart(detector, judge.select, judge.middles.images))
    beside = told_apart(detector, judge.select, judge.undescribed)
    assert history["undescribed"] == pytest.approx(beside)
    assert beside != pytest.approx(chosen)
    assert brightened(judge.middles.images, judge.select) > 0.05  # balls; held out is a deformation
    assert brightened(judge.undescribed, judge.select) < 0.02


def test_each_middle_class_has_a_figure_of_its_own() -> None:
    faint = {**BALL, "contrast_sigma": [0.01, 0.02]}
    detector, judge = fitted({"middle_classes": {"ball": BALL, "faint": faint}, "floor": 0.0})
    figures = detector.history_["classes"]
    names = np.array(judge.middles.names)
    for name in ("ball", "faint"):
        those = judge.middles.images[torch.from_numpy(names == name)]
        area, number = figures[name]
        assert area == pytest.approx(told_apart(detector, judge.select, those))
        assert number == len(those)
    assert figures["ball"][0] > figures["faint"][0] + 0.15


def test_a_class_that_is_never_visible_is_named_too() -> None:
    invisible = {**BALL, "contrast_sigma": [0.001, 0.002]}
    detector, _ = fitted({"middle_classes": {"ball": BALL, "faint": invisible}, "floor": 0.1})
    assert detector.history_["classes"]["faint"] == [None, 0]


@pytest.mark.parametrize("others", [0.9, 0.5])
@pytest.mark.parametrize(("faint", "told"), [(0.55, True), (None, True), (0.6, False)])
def test_fit_names_what_was_taught_in_vain(
    faint: float | None, told: bool, others: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where all classes together are at chance."""
    history = {"best": 0, "step": [9], "validation": [others], "scores": {"a": 0.9, "b": 0.9}}
    classes = {"ball": (0.95, 30), "streak": (faint, 12)}
    tell_checkpoint(SimpleNamespace(history_={**history, "classes": classes}))  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "by class         ball 0.950 (30 images), streak" in said
    assert ("taught in vain   streak: no better than chance" in said) == told
    tell_checkpoint(SimpleNamespace(history_=history))  # type: ignore[arg-type]
    assert "by class" not in capsys.readouterr().out  # a detector of before


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
    assert middles.names == ("a",) * 3 + ("b",) * 3
    assert len(middles.images) == 6
    few = held_out.held_out_middles(recipe, given[:2], seeded())
    assert len(few.images) == 4


def test_middle_classes_of_which_none_can_be_seen_are_refused() -> None:
    invisible = {
        "operator": "focal.Focal",
        "diameter_mm": [4, 6],
        "contrast_sigma": [0.001, 0.002],
        "why": "a lesion that nobody sees",
    }
    with pytest.raises(InputError, match=r"middle_classes: ball left no visible change"):
        fitted({"middle_classes": {"ball": invisible}})
