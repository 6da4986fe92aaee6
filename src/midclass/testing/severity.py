"""Promises about severity: 0 for nothing, rising with strength, and measured, not invented."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Tensor

from midclass.knowledge import _visibility
from midclass.knowledge.base import Knowledge
from midclass.testing.subject import Subject, copied
from midclass.types import ImageBatch, Params

TOLERANCE = 0.05
"""Between an operator's severity and the package's measure of the same change."""


def nothing_is_not_severe(subject: Subject) -> str | None:
    """Severity is 0 where nothing changed."""
    strength, severity = _at_strength(subject, 0.0)
    if severity[strength == 0].any():
        return "gives a severity to images in which nothing changed"
    return None


def stronger_is_more_severe(subject: Subject) -> str | None:
    """The same change blended in by a quarter, a half and whole is more and more severe."""
    steps = [_at_strength(subject, share) for share in (0.25, 0.5, 1.0)]
    for (weak, fainter), (strong, clearer) in pairwise(steps):
        rises = strong > 1.01 * weak  # an apply that does without render blends nothing
        if rises.any() and (clearer <= fainter)[rises].float().mean() > 0.1:
            return "has a severity that does not rise with the strength of the change"
    return None


def severity_is_measured(subject: Subject) -> str | None:
    """Severity is what the package measures from the pixels and the change map."""
    middle = subject.middle
    measured = _visibility.severity(subject.batch, middle.pixels, middle.change)
    worst = int((middle.severity - measured).abs().argmax())
    if abs(float(middle.severity[worst] - measured[worst])) > TOLERANCE:
        return (
            f"has a severity that is not measured: {float(middle.severity[worst]):.2f} for a "
            f"change of {float(measured[worst]):.2f}"
        )
    return None


def _at_strength(subject: Subject, share: float) -> tuple[Tensor, Tensor]:
    """Strength of what changed (rms) and severity, both ``(n,)``, with a share of the change."""
    middle = _fainter(subject.operator, share).apply(copied(subject.batch), subject.params)
    difference = (middle.pixels - subject.batch.pixels).flatten(1)
    return difference.square().mean(1).sqrt(), middle.severity


def _fainter(operator: Knowledge, share: float) -> Knowledge:
    """The operator itself, its own apply included, whose new tissue differs by a share."""

    def render(batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        new, alpha = operator.render(batch, params)
        return torch.lerp(batch.pixels, new, share), alpha

    weaker = copy.copy(operator)
    object.__setattr__(weaker, "render", render)  # a frozen dataclass refuses the plain way
    return weaker
