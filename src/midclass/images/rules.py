"""Rules: what a recipe says about preparation, applied to one case at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from midclass.errors import InputError
from midclass.images.cohort import Case
from midclass.images.formats.read import Image
from midclass.images.keys import rules_of
from midclass.images.sample import (
    Mask,
    Pixels,
    Sample,
    fit_box,
    make_sample,
    roi_box,
    whole_box,
    with_channels,
)
from midclass.images.store import Attempt

if TYPE_CHECKING:
    from midclass.recipe.recipe import AnatomyFunction, Recipe


def place_of(case: Case) -> tuple[object, ...]:
    """What two cases of one image have in common."""
    return (case.path, case.array, case.index, case.frame, case.spacing_mm, case.laterality)


@dataclass(frozen=True)
class Oriented:
    """An image as the recipe wants it, from which samples are taken."""

    pixels: Pixels
    anatomy: Mask
    spacing_mm: tuple[float, float]
    assumed: bool


class Rules:
    """What a recipe says about preparation; remembers the last image."""

    def __init__(self, recipe: Recipe) -> None:
        self.geometry = recipe.geometry
        self.intensity = recipe.intensity
        self.anatomy = recipe.anatomy_function()
        self.crop = recipe.crop_function()
        self.digest = rules_of(self.geometry, self.intensity, (self.anatomy, self.crop))
        self._last: tuple[tuple[object, ...], Oriented] | None = None

    def attempt(self, case: Case, read: Callable[[], Image]) -> Attempt:
        """The sample of a case and whether its spacing is assumed; or why there is none."""
        try:
            source = self._source(case, read)
            return Attempt(self._sample(case, source), source.assumed)
        except InputError as error:
            message = str(error)
            named = message if str(case.path) in message else f"{case.path}: {message}"
            return Attempt(None, reason=named)

    def _source(self, case: Case, read: Callable[[], Image]) -> Oriented:
        if self._last is None or self._last[0] != place_of(case):
            self._last = place_of(case), self._oriented(case, read())
        return self._last[1]

    def _oriented(self, case: Case, image: Image) -> Oriented:
        pixels, spacing, assumed = self.seen_by_anatomy(case, image)
        return Oriented(pixels, _found(self.anatomy, pixels, spacing), spacing, assumed)

    def seen_by_anatomy(self, case: Case, image: Image) -> tuple[Pixels, tuple[float, float], bool]:
        """Pixels and spacing with which the anatomy is looked for; is the spacing assumed?

        Raises:
            InputError: the image is constant, or something about the case is not known.
        """
        pixels = with_channels(image.pixels, self.geometry.channels)
        if pixels.max() - pixels.min() < 1e-6:
            raise InputError(f"nothing to see: every pixel is {pixels.flat[0]:.4f} (of 0 to 1)")
        if self._mirrors(case):
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        return pixels, *self._spacing(image)

    def _sample(self, case: Case, source: Oriented) -> Sample:
        geometry, shape = self.geometry, source.anatomy.shape
        if geometry.roi_mm is not None:
            if case.centre is None:
                raise InputError(
                    "has no x and y, around which view roi takes its square; "
                    "add them to the manifest, or use view whole"
                )
            x, y = case.centre
            centre = (shape[1] - 1 - x, y) if self._mirrors(case) else (x, y)
            box = roi_box(centre, geometry.roi_mm, source.spacing_mm, shape)
        else:
            mask = self.crop and _found(self.crop, source.pixels, source.spacing_mm)
            box = whole_box(mask, shape, geometry.margin)
            box = fit_box(box, geometry.size, source.spacing_mm)
        return make_sample(
            source.pixels, source.anatomy, source.spacing_mm, box, geometry, self.intensity
        )

    def _mirrors(self, case: Case) -> bool:
        if self.geometry.orient == "keep":
            return False
        if not case.laterality:
            raise InputError(
                "has no laterality, by which geometry.orient flips; "
                "fill the manifest's column laterality, or use orient: keep"
            )
        return case.laterality == "R"

    def _spacing(self, image: Image) -> tuple[tuple[float, float], bool]:
        """``(rows, cols)`` of the manifest or file, else what the recipe assumes."""
        height, width = image.pixels.shape[1:]
        if image.spacing_mm is not None:
            return (image.spacing_mm[0], image.spacing_mm[1]), False
        assumed = self.geometry.spacing_mm
        if self.geometry.field_of_view_mm is not None:
            assumed = self.geometry.field_of_view_mm / max(height, width)
        if assumed is None:
            raise InputError(
                "has no spacing; give spacing_mm (a column of the manifest), or assume one by "
                "the recipe's geometry.spacing_mm or field_of_view_mm"
            )
        return (assumed, assumed), True


def _found(function: AnatomyFunction, pixels: Pixels, spacing_mm: tuple[float, float]) -> Mask:
    """The mask that an anatomy function finds, checked: users write such functions."""
    mask = np.asarray(function(pixels, spacing_mm))
    if mask.shape != pixels.shape[1:] or mask.dtype != np.bool_:
        raise InputError(
            f"anatomy function {function.__name__} returned {mask.dtype} {mask.shape}, "
            f"expected bool {pixels.shape[1:]}"
        )
    return mask
