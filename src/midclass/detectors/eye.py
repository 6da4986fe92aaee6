"""Eye: how a detector looks at samples, batch by batch, and over large images by tiles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.detectors.look import Look, filled_up
from midclass.detectors.sliding import looked_over
from midclass.errors import InputError, in_one_line
from midclass.images.prepared import Prepared
from midclass.images.tiles import CHOSEN_WITH, LEARNED, Tiles, in_groups, to_learn_from
from midclass.recipe.parts import Geometry
from midclass.training.lesson import FORWARD_BATCH, Lesson
from midclass.types import ImageBatch

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

LOOK = 8
"""Images that a processor looks at together: as fast as any number, and one alone pays for few."""


@dataclass(frozen=True)
class Eye:
    """Looks at samples, of which each looks the same alone and among any others.

    Attributes:
        see: images -> scores ``(n,)`` or ``(n, K)``, and heat ``(n, 1, *spatial)`` or None.
        device: where they are seen.
        heat_maps: whether heat is kept.
    """

    see: Callable[[ImageBatch], tuple[Tensor, Tensor | None]]
    device: torch.device
    heat_maps: bool

    @property
    def together(self) -> int:
        """How many images are looked at together; fewer are filled up."""
        return LOOK if self.device.type == "cpu" else FORWARD_BATCH

    def looks(
        self, prepared: Prepared, rows: NDArray[np.int64], geometry: Geometry
    ) -> Iterator[Look]:
        """Look at some of the samples; of view tiles, at all their tiles."""
        if geometry.view == "tiles" and not isinstance(prepared, Tiles):
            yield from looked_over(prepared, rows, geometry, self._at_tiles, self.together)
            return
        for some in in_groups(rows, self.together):
            batch = prepared.batch(some).to(self.device)
            scores, heat = self._seen(batch)
            maps = None
            if heat is not None:
                shown = heat.to(batch.anatomy.device) * batch.anatomy
                maps = shown.squeeze(1).cpu().numpy()
            yield Look(some, batch, scores.double().cpu().numpy(), maps)

    def _at_tiles(
        self, tiles: Tiles, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        scores, heat = self._seen(tiles.batch(rows).to(self.device))
        shown = None if heat is None else heat.squeeze(1).cpu().numpy()
        return scores.double().cpu().numpy(), shown

    def _seen(self, batch: ImageBatch) -> tuple[Tensor, Tensor | None]:
        with torch.inference_mode():
            scores, heat = self.see(filled_up(batch, self.together))
            heat = heat[: len(batch)] if self.heat_maps and heat is not None else None
            return scores[: len(batch)], heat


def taught(detector: Detector, lesson: Lesson) -> None:
    """Let a detector learn: of view tiles from squares at places that hang on seed and case."""

    def squares(whole: Prepared, most: int) -> Prepared:
        rows = detector.assessable(whole)
        return to_learn_from(whole, detector.recipe.geometry, lesson.seed, rows, most)

    train, select = squares(lesson.train, LEARNED), squares(lesson.select, CHOSEN_WITH)
    detector.learn(replace(lesson, train=train, select=select))
    if not type(detector).__module__.startswith("midclass."):
        _refuse_unlike_contract(detector, train)


def _refuse_unlike_contract(detector: Detector, seen: Prepared) -> None:
    """Look at two images with a detector of one's own; see ``docs/own_detector.md``.

    Raises:
        InputError: it does not give one score an image, the same alone and among others, or its
            heat maps are none.
    """
    name, batch = type(detector).__name__, seen.batch(slice(2)).to(detector.device)
    with torch.inference_mode():
        scores, heat = detector.score(batch)
        alone = [detector.score(one)[0] for one in batch.split(1)]
    if tuple(scores.shape) != (len(batch),):
        raise InputError(
            f"{name}.score gives scores of shape {tuple(scores.shape)} for {len(batch)} images, "
            f"expected ({len(batch)},): one each"
        )
    if not torch.allclose(scores, torch.cat(alone), rtol=1e-3, atol=1e-5, equal_nan=True):
        raise InputError(
            f"{name}.score gives images {scores.tolist()} together and "
            f"{torch.cat(alone).tolist()} one by one; a score must hang on its image alone"
        )
    shape = (len(batch), 1, *batch.spatial)
    if heat is not None and (tuple(heat.shape) != shape or not ((heat >= 0) & (heat <= 1)).all()):
        raise InputError(
            f"{name}.score gives heat maps of shape {tuple(heat.shape)} from {float(heat.min()):g} "
            f"to {float(heat.max()):g}, expected {shape} in [0, 1]"
        )
    detector.unkept_ = _why_not_kept(detector, batch, scores)


def _why_not_kept(detector: Detector, batch: ImageBatch, scores: Tensor) -> str:
    """Give its state to a new one: what is wrong where that scores otherwise; or "".

    Raises:
        InputError: its state is nothing that files can hold.
    """
    from safetensors.torch import load, save

    name = type(detector).__name__
    tensors, facts = detector.state()
    try:
        weights = save({key: value.contiguous() for key, value in tensors.items()})
        plain = json.loads(json.dumps(facts))
    except Exception as error:
        raise InputError(
            f"{name}.state gives what files cannot hold, expected tensors by name, and facts as in "
            f"JSON: {in_one_line(error)}"
        ) from error
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            again = type(detector)(detector.recipe)
            again.restore(load(weights), plain)
            found, _ = again.score(batch)
    except (MemoryError, torch.OutOfMemoryError):  # two at a time are too many; nothing is known
        return ""
    except Exception as error:
        return f"{name} cannot be kept: a new one fails after restore ({in_one_line(error)})"
    if not torch.allclose(found.double(), scores.double(), rtol=1e-3, atol=1e-5, equal_nan=True):
        return (
            f"{name} cannot be kept: it gives two images {scores.tolist()}, and {found.tolist()} "
            "after restore of its state; keep in state all that score reads"
        )
    return ""
