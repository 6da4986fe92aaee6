"""Advice: the figures of an audit in words, and what to change, the most important first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from midclass.preview import dim, negatives
from midclass.preview.plausibility import boxed, in_words

Figures: TypeAlias = Mapping[str, Any]

GIVEN_AWAY = 0.99
"""AUROC of coarse statistics from which an operator gives itself away."""
EASY = 0.9
"""AUROC from which coarse statistics alone go far."""
WEAK, OFTEN_WEAK = 0.5, 0.2
"""Share of draws below the recipe's floor."""
SAME = 0.6
"""AUROC between the changes of two middle classes below which they are one."""
NO_ANATOMY, LEFT_OUT = 0.1, 0.3
"""Share of images with no or little anatomy that is worth a look at it; the second where the
recipe itself leaves images out by ``least_anatomy_mm2``."""
STRANGE = 0.1
"""Share of images whose anatomy is unlike the others that is worth a look at it."""
NARROW = 0.5
"""Share of the places that even draws would reach."""
ALARMS = 0.2
"""False-alarm rate of the quick detector, set to 5 % without nuisance."""


def verdict(figures: Figures) -> str:
    """One middle class in a few words.

    >>> verdict({"refused": 0, "draws": 9, "too_faint": 0.0, "auroc": 0.995})
    'gives itself away'
    """
    if figures["refused"]:
        return "refused"
    if figures["too_faint"] >= WEAK:
        return "too weak"
    if figures["auroc"] is not None and figures["auroc"] >= GIVEN_AWAY:
        return "gives itself away"
    if figures["too_faint"] >= OFTEN_WEAK:
        return "often too weak"
    if figures["auroc"] is None:
        return "too few images to say"
    return "easy" if figures["auroc"] >= EASY else "usable"


def advice(
    figures: Figures, *, shows_all: bool = True, picture: str = "a picture by --outlines"
) -> list[str]:
    """What to change in the recipe, in order of importance; empty where nothing needs to change.

    Args:
        figures: from ``midclass.preview.audit.audit``.
        shows_all: see the recipe's ``Geometry``: in a region of interest a finding belongs into
            the middle.
        picture: name of the file with the outlines.
    """
    classes: Mapping[str, Figures] = figures["classes"]
    return [
        *_refused(classes),
        *_anatomy(figures["anatomy"], picture),
        *_dim(figures.get("spread")),
        *_exchanged(figures),
        *figures.get("out_of_scale", ()),
        *_given_away(classes),
        *_weak(classes),
        *_redundant(figures["pairs"]),
        *_nuisance(figures["nuisance"]),
        *_easy(classes),
        *(_narrow(classes) if shows_all else ()),
    ]


def _refused(classes: Mapping[str, Figures]) -> Iterator[str]:
    for name, found in classes.items():
        if found["refused"]:
            total = found["refused"] + found["draws"]
            yield (
                f"{name}: refuses {found['refused']} of {total} images, so that training would "
                f"stop ({found['refusal']})"
            )


def _anatomy(found: Figures, picture: str) -> Iterator[str]:
    lacking = found["none"] + found["little"]
    often = lacking >= (LEFT_OUT if found["least_mm2"] else NO_ANATOMY)
    strange = found["strange"] >= STRANGE * found["images"]
    if often or strange or boxed(found):
        said = in_words(found, picture)
        if found["little"]:
            share = f"{found['little']:.0%} of the images show little of it, and train nothing"
            said = f"{share}; {said or f'look at {picture}'}"
        yield f"anatomy: {said}"


def _dim(spread: float | None) -> Iterator[str]:
    if said := dim.in_words(spread):
        yield f"images: {said}"


def _exchanged(figures: Figures) -> Iterator[str]:
    if said := negatives.in_words(figures.get("negatives", []), figures.get("images", 0)):
        yield f"images: {said}"


def _given_away(classes: Mapping[str, Figures]) -> Iterator[str]:
    for name, found in classes.items():
        if found["auroc"] is not None and found["auroc"] >= GIVEN_AWAY:
            yield (
                f"{name}: gives itself away, coarse statistics alone tell it from the given class "
                f"(AUROC {found['auroc']:.3f}) and a network need not look; most by its "
                f"{_cue(found)}: {_remedy(found['cue']['statistic'])}"
            )


def _weak(classes: Mapping[str, Figures]) -> Iterator[str]:
    for name, found in classes.items():
        if found["draws"] and found["too_faint"] >= OFTEN_WEAK:
            often = "too weak" if found["too_faint"] >= WEAK else "often too weak"
            yield (
                f"{name}: {often}, {found['too_faint']:.0%} of its changes are below the recipe's "
                "floor and train nothing; raise its contrast or its size"
            )


def _redundant(pairs: list[Figures]) -> Iterator[str]:
    for pair in pairs:
        area = pair["auroc_of_effect"]
        if area is not None and area < max(SAME, pair["chance"]):
            a, b = pair["classes"]
            yield (
                f"{a} and {b}: redundant, what they change cannot be told apart (AUROC "
                f"{area:.2f}); remove one, or make them different"
            )


def _nuisance(found: Figures | None) -> Iterator[str]:
    if found is None:
        return
    rate = {one["strength"]: one["false_alarms"] for one in found["strengths"]}
    grows = rate[1] <= rate[2]  # what the nuisance does grows with it; else it is chance
    full = min(rate.values()) >= ALARMS  # unless half of it does all the harm there is
    if rate[1] >= ALARMS and (grows or full):
        yield (
            "nuisance: alone it makes a quick detector flag "
            f"{rate[1]:.0%} of given-class images (5 % without it), so that it "
            "looks like the middle classes; narrow it to what your devices do, or normalise the "
            "intensity"
        )


def _easy(classes: Mapping[str, Figures]) -> Iterator[str]:
    for name, found in classes.items():
        if found["auroc"] is not None and EASY <= found["auroc"] < GIVEN_AWAY:
            yield (
                f"{name}: easy, coarse statistics go far (AUROC {found['auroc']:.2f}), most its "
                f"{_cue(found)}; does disease have this cue? If not: "
                f"{_remedy(found['cue']['statistic'])}"
            )


def _narrow(classes: Mapping[str, Figures]) -> Iterator[str]:
    for name, found in classes.items():
        if found["draws"] and found["touched"] < NARROW * found["touched_if_even"]:
            yield (
                f"{name}: changes {found['touched']:.0%} of the places where anatomy usually is, "
                f"even draws would reach {found['touched_if_even']:.0%}; fine if disease lies "
                "nowhere else"
            )


def _cue(found: Figures) -> str:
    return f"{found['cue']['statistic']} (alone {found['cue']['auroc']:.2f})"


def _remedy(statistic: str) -> str:
    """What to do about a cue, by the kind of statistic."""
    if any(word in statistic for word in ("gradient", "Laplacian", "roughness")):
        return (
            "its smoothness or its edges show; keep the tissue's texture, soften or vary the "
            "edges, or widen nuisance.blur_mm and nuisance.noise"
        )
    return (
        "its brightness shows; lower contrast or extent, or widen nuisance.gain, gamma, offset "
        "and bias"
    )
