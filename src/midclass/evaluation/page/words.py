"""Words of a page: numbers as people read them, and sentences that follow from figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from midclass.evaluation.conformal import too_alike, worth_in_words
from midclass.evaluation.patients import as_one_in_words
from midclass.version import __version__

if TYPE_CHECKING:
    from midclass.evaluation.page.run import Run

COLOURS = 7
"""In which lines are drawn."""
Limited: TypeAlias = Mapping[str, float] | Sequence[float]
"""A figure with its interval: by name, or first of a tuple."""


def percent(value: float, digits: int = 1) -> str:
    """A share.

    >>> percent(0.05), percent(0.0313), percent(float("nan"))
    ('5 %', '3.1 %', 'none')
    """
    if np.isnan(value):
        return "none"
    said = f"{100 * value:.{digits}f}"
    return f"{said.rstrip('0').rstrip('.') if '.' in said else said} %"


def between(figure: Limited, digits: int = 1) -> str:
    """A share with its 95 % interval.

    >>> between({"value": 0.87, "low": 0.785, "high": 0.93})
    '87 % (78.5 to 93 %)'
    """
    value, low, high = _three(figure)
    return f"{percent(value, digits)} ({percent(low, digits)[:-2]} to {percent(high, digits)})"


def area(figure: Limited) -> str:
    """An area under a curve with its 95 % interval.

    >>> area({"value": 0.9578, "low": 0.92, "high": 0.98})
    '0.958 (0.920 to 0.980)'
    """
    value, low, high = _three(figure)
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _three(figure: Limited) -> tuple[float, float, float]:
    if isinstance(figure, Mapping):
        return figure["value"], figure["low"], figure["high"]
    return figure[0], figure[1], figure[2]


def count(number: float, one: str, several: str = "") -> str:
    """A number of things.

    >>> count(1, "image"), count(1200, "image"), count(2, "case of it", "cases of it")
    ('1 image', '1,200 images', '2 cases of it')
    """
    return f"{number:,.0f} {one if number == 1 else several or f'{one}s'}"


def part(name: str) -> str:
    """A part of the nuisance.

    >>> part("rotation_deg"), part("blur_mm"), part("gain")
    ('rotation', 'blur', 'gain')
    """
    return name.removesuffix("_deg").removesuffix("_mm").replace("_", " ")


def series(number: int) -> str:
    """How one of several lines is drawn: in one of seven colours, and broken after these.

    >>> series(1), series(8)
    ('series s1', 'series s1 second')
    """
    return f"series s{number % COLOURS}{' second' if number >= COLOURS else ''}"


def kept(
    rate: Mapping[str, float], max_fpr: float, word: str = "promised", most: float = 0.0
) -> tuple[str, str]:
    """Whether a measured false-alarm rate is in keeping with the one promised: kind, and sentence.

    Args:
        rate: measured, with its interval.
        max_fpr: the rate of the threshold.
        word: what it is, see ``aim``.
        most: that the rate of this threshold may be, as far as its calibration tells.

    >>> kept({"value": 0.03, "low": 0.006, "high": 0.09}, 0.05)[0]
    'good'
    >>> kept({"value": 0.3, "low": 0.2, "high": 0.4}, 0.05)[0]
    'bad'
    """
    said = percent(max_fpr)
    if rate["low"] > max(max_fpr, most):
        return "bad", f"More than the {said} {word}: these normals differ from those learned from"
    if rate["value"] > max_fpr:
        return "fair", f"Above the {said} {word}, by no more than chance explains"
    return "good", f"At most {said} were {word}"


def pointing(found: Mapping[str, Any], target: str) -> str:
    """How well heat maps point at lesions, at the middle one of the numbers of false marks.

    Args:
        found: see ``localisation.localisation``.
        target: what is looked for.

    >>> hit = {"0.3": {"value": 0.6, "low": 0.4, "high": 0.78}}
    >>> pointing({"lesions": 25, "hit": hit}, "a mass")
    'Of 25 places known to show a mass, the heat maps point at 60 % (40 to 78 %), where 3 false \
marks are allowed in 10 normal images.'
    """
    rates = list(found["hit"])
    rate = rates[len(rates) // 2]
    places = count(found["lesions"], "place")
    marks = count(10 * float(rate), "false mark is", "false marks are")
    return (
        f"Of {places} known to show {target}, the heat maps point at "
        f"{between(found['hit'][rate])}, where {marks} allowed in 10 normal images."
    )


def _of_the_rate(promised: Mapping[str, float], rate: str) -> str:
    """For whom the false-alarm rate is promised, or why it is not."""
    if "moved" in promised:
        return (
            f"At most {rate} false alarms are an aim and no promise here: unlabelled cases of this "
            "place, or of one like it, moved the threshold as far as their scores tell."
        )
    if too_alike(promised):
        return (
            f"At most {rate} false alarms are an aim and no promise: images of a patient are "
            f"alike, and those that set the threshold {worth_in_words(promised)}."
        )
    return (
        f"The promise of at most {rate} false alarms holds for normal images of the same kind as "
        "those that calibrated: another hospital, device or protocol needs its own threshold "
        "(midclass calibrate)."
    )


def limits(run: Run) -> list[str]:
    """What the reader must know of the limits of this detector and this evaluation."""
    figures, recipe = run.figures, run.recipe
    lines = []
    known = [one["name"] for one in recipe.get("knowledge", []) if one["kind"] == "middle class"]
    if known:
        lines.append(
            f"The recipe describes {', '.join(known)}. What it does not describe may be found only "
            "where it looks new beside normal images, and may be missed."
        )
    lines.append(_of_the_rate(figures["promised"], percent(figures["max_fpr"])))
    lines.append(
        "Intervals say what chance among the patients of this test could change. They know nothing "
        "of other hospitals, of how the cases were chosen, or of another training."
    )
    if figures.get("few_patients"):
        lines.append(f"{figures['few_patients']}.")
    if otherwise := figures.get("framed_otherwise"):
        lines.append(
            "These images show the anatomy otherwise than those that were learned from: "
            f"{'; '.join(otherwise)}. Whether the promise holds for such images is not known."
        )
    if near := figures.get("near_copies_of_fitted"):
        lines.append(
            f"{count(len(near), 'image')} of this test look like images that the detector was "
            "fitted with: the figures flatter."
        )
    if one := figures.get("labelled_as_one"):
        lines.append(f"{as_one_in_words(one)}.")
    if figures.get("assumed_spacing"):
        lines.append(
            f"Of {count(figures['assumed_spacing'], 'image')} no pixel spacing is known; the "
            "recipe's was assumed, and sizes in mm may be wrong there."
        )
    if "guaranteed" in figures["promised"]:
        lines.append(
            "The detector learned in folds: what is proven is a false-alarm rate of at most "
            f"{percent(figures['promised']['guaranteed'])}."
        )
    lines.append(
        "Heat maps show what the score rests on. They are no segmentation, and an image can be "
        "flagged by no single place."
    )
    return lines


def provenance(run: Run) -> list[tuple[str, Any]]:
    """Where the figures come from: names, and values where they are known."""
    detector, made, parent = run.detector, run.made, run.detector.get("parent")
    calibrated = detector.get("calibrated")
    versions = ", ".join(f"{name} {one}" for name, one in made.get("versions", {}).items())
    return [
        ("Detector", run.figures["detector"]),
        ("Detector id", detector.get("id")),
        ("Kind", detector.get("detector")),
        ("Fitted by midclass", detector.get("midclass")),
        ("Fitted on", detector.get("date")),
        ("Seed", detector.get("seed")),
        ("Threads", detector.get("threads")),
        ("Threshold", detector.get("threshold")),
        (
            "Threshold set with",
            calibrated
            and f"{count(calibrated['cases'], 'normal image')} of "
            f"{count(calibrated['patients'], 'patient')}",
        ),
        (
            "Threshold moved with",
            parent
            and "shift" in parent
            and f"{count(parent['unknown'], 'unlabelled image')}, by {parent['shift']:.3g}",
        ),
        (
            "Threshold set anew; before",
            parent and f"{parent['name']}, id {parent['sha256']}, threshold {parent['threshold']}",
        ),
        ("Cohort tested", run.figures.get("cohort")),
        ("Evaluated on", made.get("date")),
        ("Evaluated by midclass", made.get("midclass")),
        ("With", versions),
        ("Page made by midclass", __version__),
    ]
