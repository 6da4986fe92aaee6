"""Trial: what one operator makes of many images, before any training, as coarse statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray
from midclass.images.prepared import Prepared
from midclass.knowledge.acquisition import acquired
from midclass.knowledge.base import Knowledge
from midclass.knowledge.nuisance import Nuisance
from midclass.preview.probe import best_cue, probe_auroc
from midclass.preview.statistics import coarse
from midclass.recipe.recipe import Recipe
from midclass.training.middle import with_shams
from midclass.types import ImageBatch, Middle

TOUCHED = 0.1
"""Share of new tissue from which a sample counts as changed."""


@dataclass(frozen=True)
class Trial:
    """What one operator made of the images; n of them, the others it refused.

    Attributes:
        index: int ``(n,)``, the images.
        given: ``(n, f)`` coarse statistics of the given class, as training sees it.
        middle: ``(n, f)`` of the middle class.
        effect: ``(n, g)`` of the change alone: new minus old, inside the change map.
        severity: ``(n,)``.
        visible: bool ``(n,)``: at or above the recipe's floor.
        covers: ``(n,)``, share of the anatomy.
        touched: how often each sample was changed, ``(*spatial)``.
        possible: how often it was anatomy.
        names: of the f statistics.
        refusal: the operator's words, or "".
        refused: how many images.
    """

    index: NDArray[np.int64]
    given: FloatArray
    middle: FloatArray
    effect: FloatArray
    severity: FloatArray
    visible: NDArray[np.bool_]
    covers: FloatArray
    touched: NDArray[np.int64]
    possible: NDArray[np.int64]
    names: tuple[str, ...]
    refusal: str
    refused: int

    def figures(self, patients: NDArray[Any]) -> dict[str, Any]:
        """Ready for JSON."""
        found: dict[str, Any] = {
            "draws": len(self.index),
            "refused": self.refused,
            "refusal": self.refusal,
            "severity": None,
            "too_faint": None,
            "auroc": None,
            "cue": None,
            "covers": None,
            "touched": None,
            "touched_if_even": None,
        }
        if not len(self.index):
            return found
        share = float(self.covers.mean())
        found |= {
            "severity": float(np.median(self.severity)),
            "too_faint": float(1 - self.visible.mean()),
            "covers": float(np.median(self.covers)),
            "touched": _share(self.touched > 0, self.possible >= self.possible.max() / 2),
            "touched_if_even": 1 - (1 - share) ** len(self.index),
        }
        given, middle = self.given[self.visible], self.middle[self.visible]
        who = patients[self.index[self.visible]]
        found["auroc"] = probe_auroc(given, middle, who, who)
        if found["auroc"] is not None:
            column, area = best_cue(given, middle)
            found["cue"] = {"statistic": self.names[column], "auroc": area}
        return found


def try_operator(
    operator: Knowledge,
    prepared: Prepared,
    rows: NDArray[np.int64],
    recipe: Recipe,
    rng: torch.Generator,
) -> Trial:
    """Draw once for every image, in batches of the size that training has."""
    nuisance = recipe.nuisance_operator()
    index, parts, refusal = [], [], ""
    for chosen in batches(len(rows), recipe.budget.batch):
        batch = prepared.batch(rows[chosen])
        accepted, words = _accepted(operator, batch, rng)
        refusal = refusal or words
        if accepted.any():
            index.append(chosen[accepted.numpy()])
            parts.append(_part(operator, batch[accepted], nuisance, recipe.sham, rng))
    if not parts:
        nothing, spatial = np.empty((0, 0)), prepared.shape[2:]
        none, grid = np.empty(0), np.zeros(spatial, np.int64)
        return Trial(
            none.astype(np.int64), nothing, nothing, nothing, none, none.astype(bool), none, grid,
            grid, (), refusal, len(rows),
        )  # fmt: skip
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    touched, possible = joined.pop("touched").sum(0), joined.pop("possible").sum(0)
    where = np.concatenate(index)
    return Trial(
        where,
        **joined,
        visible=joined["severity"] >= recipe.floor,
        touched=touched,
        possible=possible,
        names=coarse(batch[:1])[1],
        refusal=refusal,
        refused=len(rows) - len(where),
    )


def batches(n: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of n images in even batches: a lone last image would have no neighbours."""
    yield from np.array_split(np.arange(n), max(1, -(-n // size)))


def _accepted(operator: Knowledge, batch: ImageBatch, rng: torch.Generator) -> tuple[Tensor, str]:
    """Which images the operator draws for, bool ``(n,)``, and why not for the others."""
    try:
        operator.draw(batch, rng)
    except InputError as error:
        words = str(error)
    else:
        return torch.ones(len(batch), dtype=torch.bool), ""
    accepted = torch.zeros(len(batch), dtype=torch.bool)
    for i in range(len(batch)):
        try:
            operator.draw(batch[i : i + 1], rng)
            accepted[i] = True
        except InputError as error:
            words = str(error)
    return accepted, words


def _part(
    operator: Knowledge,
    given: ImageBatch,
    nuisance: Nuisance | None,
    sham: float,
    rng: torch.Generator,
) -> dict[str, NDArray[Any]]:
    """One batch as ``MiddleClasses`` makes it, but each image with this one operator."""
    params = operator.draw(given, rng)
    middle = operator.apply(given, params)
    normal = with_shams(given, operator, params, sham, rng)
    seen = [
        coarse(acquired(given.with_pixels(pixels), nuisance, rng))[0]
        for pixels in (normal, middle.pixels)
    ]
    axes = tuple(range(1, middle.change.ndim))
    covers = middle.change.sum(axes) / given.anatomy.sum(axes).clamp_min(1)
    changed = (middle.change > TOUCHED)[:, 0]
    return {
        "given": seen[0],
        "middle": seen[1],
        "effect": _effect(given, middle),
        "severity": middle.severity.double().numpy(),
        "covers": covers.double().numpy(),
        "touched": changed.sum(0, keepdim=True).numpy(),
        "possible": given.anatomy[:, 0].sum(0, keepdim=True).numpy(),
    }


def _effect(given: ImageBatch, middle: Middle) -> FloatArray:
    """Coarse statistics of the change alone, and its size."""
    changed = middle.change > TOUCHED
    alone = ImageBatch(middle.pixels - given.pixels, changed, given.spacing_mm)
    size = middle.change.flatten(1).sum(1).clamp_min(1).log().unsqueeze(1)
    return np.hstack([coarse(alone)[0], size.double().numpy()])


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float((part & whole).sum() / max(1, whole.sum()))
