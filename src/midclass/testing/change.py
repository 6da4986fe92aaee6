"""Promises about the change: where it is, how tightly it is marked, and its size in mm."""

from __future__ import annotations

import torch
from torch import Tensor

from midclass.knowledge._visibility import tissue_sigma
from midclass.testing.scenes import sampled_scene
from midclass.testing.subject import Subject
from midclass.types import ImageBatch, Params

SEEN = 0.1
"""Standard deviations of the tissue by which a sample changed visibly."""

LEAST_SEEN = 0.25
"""Of the marked samples (change above 0.1), the share that changed visibly: 0.5 is the least among
the shipped operators (a random warp, which moves flat tissue too)."""

LEAST_AREA = 0.5
"""Least area over which one scene is changed at half the spacing, in areas at the spacing.

Lengths in samples give 0.25 in 2-D and 0.13 in 3-D, more where the anatomy cuts the change off. The
shipped operators give 0.66 and more (places fall on other samples). There is no upper bound: what
is marked by the sample, such as movement, may be far more at a finer sampling.
"""


def marks_what_it_changes(subject: Subject) -> str | None:
    """Nothing changes outside the change map."""
    changed = (subject.middle.pixels != subject.batch.pixels).any(1, keepdim=True)
    outside = changed & (subject.middle.change == 0)
    return "changes pixels outside its change map" if outside.any() else None


def stays_in_the_anatomy(subject: Subject) -> str | None:
    """No mark outside the anatomy, and no change where there is none."""
    if (subject.middle.change > 0)[~subject.batch.anatomy].any():
        return "marks pixels outside the anatomy"
    batch = subject.batch
    nowhere = ImageBatch(batch.pixels, torch.zeros_like(batch.anatomy), batch.spacing_mm)
    for params in (subject.params, subject.draw(nowhere)):
        middle = subject.apply(nowhere, params)
        if not torch.equal(middle.pixels, batch.pixels) or middle.severity.any():
            return "changes images without anatomy, or calls them severe"
    return None


def changes_most_images(subject: Subject) -> str | None:
    """At least half of the images change at all; how much, severity says."""
    share = float((_difference(subject).flatten(1).amax(1) > 0).float().mean())
    return None if share >= 0.5 else f"leaves most images as they are (it changes {share:.0%})"


def marks_tightly(subject: Subject) -> str | None:
    """A good part of what is marked can be seen to have changed."""
    sigma = tissue_sigma(subject.batch).view(-1, *(1,) * (subject.batch.pixels.ndim - 1))
    marked = subject.middle.change > 0.1
    seen = (_difference(subject) > SEEN * sigma) & marked
    share = float(seen.sum() / marked.sum().clamp_min(1))
    if marked.any() and share < LEAST_SEEN:
        return (
            f"marks far more than it changes: {share:.0%} of its change map can be seen, "
            f"at least {LEAST_SEEN:.0%} must"
        )
    return None


def works_in_mm(subject: Subject) -> str | None:
    """One scene at two samplings is changed over the same area."""
    most, n = (64, 16) if len(subject.batch.spatial) == 2 else (20, 8)
    size = [min(side, most) for side in subject.batch.spatial]
    spacing = subject.batch.spacing_mm.mean(0).tolist()
    channels = subject.batch.pixels.shape[1]
    coarse = sampled_scene(size, spacing, n, channels, subject.seed)
    fine = sampled_scene(
        [2 * side for side in size], [mm / 2 for mm in spacing], n, channels, subject.seed
    )
    drawn, redrawn = subject.draw(coarse), subject.draw(fine)
    before = _area_mm(subject, coarse, drawn)
    after = _area_mm(subject, fine, _carried(drawn, redrawn))
    ratio = _ratio(before, after)
    if ratio < LEAST_AREA:
        return (
            f"does not work in millimetres: at half the spacing it changes {ratio:.2f} times "
            f"the area, {LEAST_AREA:g} times is the least"
        )
    return None


def _ratio(before: Tensor, after: Tensor) -> float:
    """After over before: of the typical area or of the largest, whichever is less.

    The largest quarter, because lengths in samples also move lesions out of the anatomy, which
    makes the typical area smaller at the coarse sampling too.
    """
    both = (before > 0) & (after > 0)
    if not both.any():
        return 1.0  # nothing to compare; changes_most_images says so
    quarter = max(1, len(before) // 4)
    typical = (after / before)[both].log().mean().exp()
    largest = after.topk(quarter).values.sum() / before.topk(quarter).values.sum()
    return float(torch.minimum(typical, largest))


def _carried(drawn: Params, redrawn: Params) -> Params:
    """One draw for another sampling: only what is drawn sample by sample has to be drawn anew."""
    return {
        name: drawn[name] if drawn[name].shape == values.shape else values
        for name, values in redrawn.items()
    }


def _area_mm(subject: Subject, batch: ImageBatch, params: Params) -> Tensor:
    """``(n,)`` mm^d."""
    change = subject.apply(batch, params).change
    return change.flatten(1).sum(1) * batch.spacing_mm.prod(1)


def _difference(subject: Subject) -> Tensor:
    """``(n, 1, *spatial)``."""
    return (subject.middle.pixels - subject.batch.pixels).abs().amax(1, keepdim=True)
