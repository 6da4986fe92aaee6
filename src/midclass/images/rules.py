"""Rules: what a recipe says about preparation, applied to one case at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from midclass.errors import STOPS, InputError, in_one_line
from midclass.images.cohort import Case
from midclass.images.formats.limits import check_spacing
from midclass.images.formats.mask import read_mask
from midclass.images.formats.read import Image
from midclass.images.keys import rules_of
from midclass.images.placement import canvas_box
from midclass.images.sample import (
    OF_USER,
    Box,
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
    from midclass.recipe.function import AnatomyFunction
    from midclass.recipe.recipe import Recipe


def place_of(case: Case) -> tuple[object, ...]:
    """What two cases of one image have in common."""
    file = (case.path, case.array, case.index, case.frame)
    return (*file, case.spacing_mm, case.laterality, case.mask)


@dataclass(frozen=True)
class Oriented:
    """An image as the recipe wants it, from which samples are taken.

    ``anatomies`` are those of the recipe by number, or the user's mask as ``OF_USER``.
    """

    pixels: Pixels
    anatomies: dict[int, Mask]
    spacing_mm: tuple[float, float]
    assumed: bool


class Rules:
    """What a recipe says about preparation; remembers the last image."""

    def __init__(self, recipe: Recipe) -> None:
        self.geometry = recipe.geometry
        self.intensity = recipe.intensity
        self.accepts = recipe.accepts
        self.anatomies = recipe.anatomy_functions()
        self.crop = recipe.crop_function()
        functions = (*self.anatomies, self.crop)
        self.digest = rules_of(self.geometry, self.intensity, self.accepts, functions)
        self._last: tuple[tuple[object, ...], Oriented] | None = None

    @property
    def each(self) -> int:
        """Rows of each case in a store: one for each anatomy."""
        return len(self.anatomies)

    def shape(self, cases: int) -> tuple[int, ...]:
        """``(rows, c, *size)`` of the pixels of so many cases in a store."""
        return (cases * self.each, self.geometry.channels, *self.geometry.grid)

    def attempt(
        self, case: Case, read: Callable[[], Image], shown: tuple[str, ...] = ()
    ) -> Attempt:
        """The samples of a case and whether their spacing is assumed; or why there are none.

        Whatever goes wrong is the reason, also in a user's anatomy and in a decoder that panics.

        Args:
            case: the case.
            read: gives its image.
            shown: hashes of what its files hold; the last image stands for the next case of the
                same place and hashes only.
        """
        try:
            source = self._source(case, read, shown)
            return Attempt(self._samples(case, source), source.assumed)
        except STOPS:
            raise
        except BaseException as error:
            self._last = None  # perhaps memory is short
            message, path = in_one_line(error), in_one_line(InputError(case.path))
            return Attempt((), reason=message if path in message else f"{path}: {message}")

    def _source(self, case: Case, read: Callable[[], Image], shown: tuple[str, ...]) -> Oriented:
        place = (*place_of(case), *shown)
        if self._last is None or self._last[0] != place:
            self._last = None  # before the next is read, so that both need not fit into memory
            self._last = place, self._oriented(case, read())
        return self._last[1]

    def _oriented(self, case: Case, image: Image) -> Oriented:
        pixels, spacing, assumed = self._upright(case, image)
        if case.mask is not None:
            mask = read_mask(case, (pixels.shape[1], pixels.shape[2]))
            mask = np.ascontiguousarray(mask[:, ::-1]) if self._mirrors(case) else mask
            return Oriented(pixels, {OF_USER: mask}, spacing, assumed)
        found = {i: _found(one, pixels, spacing) for i, one in enumerate(self.anatomies)}
        return Oriented(pixels, found, spacing, assumed)

    def seen_by_anatomy(self, case: Case, image: Image) -> tuple[Pixels, tuple[float, float], bool]:
        """Pixels and spacing with which the anatomy is looked for; is the spacing assumed?

        Raises:
            InputError: the image is of another kind than the recipe accepts, or constant; or
                something about the case is not known.
        """
        pixels, spacing_mm, assumed = self._upright(case, image)
        return in_full_range(pixels), spacing_mm, assumed

    def _upright(self, case: Case, image: Image) -> tuple[Pixels, tuple[float, float], bool]:
        """The same with the values of the file, of which samples are made."""
        self.accepts.refuse(image.modality, image.body_part, image.plane)
        if image.spacing_mm is not None:
            check_spacing(image.spacing_mm)
        pixels = with_channels(image.pixels, self.geometry.channels)
        if pixels.max() - pixels.min() < 1e-6:
            raise InputError(f"nothing to see: every pixel is {pixels.flat[0]:.4f} (of 0 to 1)")
        if self._mirrors(case):
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        return pixels, *self._spacing(image)

    def _samples(self, case: Case, source: Oriented) -> tuple[Sample, ...]:
        """By each anatomy by which there can be one; the first that fails, if all do, is told."""
        box, samples, failed = self._box(case, source), list[Sample](), list[InputError]()
        for link, mask in source.anatomies.items():
            try:
                made = make_sample(
                    source.pixels, mask, source.spacing_mm, box, self.geometry, self.intensity
                )
                samples.append(replace(made, link=link, mirrored=self._mirrors(case)))
            except InputError as error:
                failed.append(error)
        if not samples:
            raise failed[0]
        return tuple(samples)

    def _box(self, case: Case, source: Oriented) -> Box:
        geometry, shape = self.geometry, (source.pixels.shape[1], source.pixels.shape[2])
        if geometry.view == "roi":
            assert geometry.roi_mm is not None
            if case.centre is None:
                raise InputError(
                    "has no x and y, around which view roi takes its square; "
                    "add them to the manifest, or use view whole or tiles"
                )
            x, y = case.centre
            centre = (shape[1] - 1 - x, y) if self._mirrors(case) else (x, y)
            return roi_box(centre, geometry.roi_mm, source.spacing_mm, shape)
        box = whole_box(self._to_crop_to(source), shape, geometry.margin)
        if geometry.view == "tiles":
            return canvas_box(box, geometry, source.spacing_mm)
        return fit_box(box, geometry.size, source.spacing_mm)

    def _to_crop_to(self, source: Oriented) -> Mask | None:
        """The mask whose box an image is cropped to; none is looked for twice."""
        if self.crop is None:
            return None
        for link, mask in source.anatomies.items():
            if link != OF_USER and self.anatomies[link] is self.crop:
                return mask
        return _found(self.crop, source.pixels, source.spacing_mm)

    def _mirrors(self, case: Case) -> bool:
        if self.geometry.orient == "keep":
            return False
        if not case.laterality:
            raise InputError(
                "has no laterality (L or R), by which geometry.orient flips; "
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
            assumed = self.geometry.field_of_view_mm / max(height * image.aspect, width)
        if assumed is None:
            raise InputError(
                "has no spacing; give spacing_mm (a column of the manifest), or assume one by "
                "the recipe's geometry.spacing_mm or field_of_view_mm"
            )
        return (assumed * image.aspect, assumed), True


def _found(function: AnatomyFunction, pixels: Pixels, spacing_mm: tuple[float, float]) -> Mask:
    """The mask that an anatomy function finds, checked: users write such functions."""
    mask = np.asarray(function(np.array(in_full_range(pixels)), spacing_mm))  # it may write there
    if mask.shape != pixels.shape[1:] or mask.dtype != np.bool_:
        raise InputError(
            f"anatomy function {function.__name__} returned {mask.dtype} {mask.shape}, "
            f"expected bool {pixels.shape[1:]}"
        )
    return mask


def in_full_range(pixels: Pixels) -> Pixels:
    """An image that uses no more than a quarter of the range, doubled until it uses more than half.

    Files of 10 or 12 bits come in 16, where tissue is as dark as the noise of a film. Doubling
    loses nothing, and leaves other images as they are; also one with a bright letter in it.

    >>> in_full_range(np.float32([0.0, 0.05])).tolist() == [0.0, float(np.float32(0.05)) * 16]
    True
    >>> in_full_range(np.float32([0.0, 0.3])).tolist() == [0.0, float(np.float32(0.3))]
    True
    """
    most = float(pixels.max())
    if not 0 < most <= 0.25:
        return pixels
    return np.ldexp(pixels, min(math.floor(-math.log2(most)), MOST_DOUBLED))


MOST_DOUBLED = 6
"""Times: 10 bits in 16. A darker image is noise."""
