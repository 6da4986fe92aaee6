"""Images in memory: arrays and tensors -> samples on the recipe's grid, by the path of files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError
from midclass.images.case import NOBODY
from midclass.images.cohort import Case, Cohort
from midclass.images.formats.read import Image
from midclass.images.prepare import cannot_be_prepared, of_store
from midclass.images.prepared import Prepared
from midclass.images.rules import Rules
from midclass.images.sample import Pixels
from midclass.images.store import in_memory

if TYPE_CHECKING:
    from midclass.recipe.recipe import Recipe

_CHANNELS = (1, 3, 4)
"""How many an image has: grey, colour, and colour with what is opaque."""
LARGEST = {"uint8": 255, "uint16": 65535}
"""What becomes 1, by type; other numbers are in [0, 1]."""


def prepare_array(
    pixels: ArrayLike,
    recipe: Recipe,
    spacing_mm: float | ArrayLike | None = None,
    *,
    case_id: ArrayLike | None = None,
    patients: ArrayLike | None = None,
    label: int | None = None,
    keep_going: bool = False,
) -> Prepared:
    """Bring images in memory onto the recipe's grid, by the same path as files.

    Args:
        pixels: ``(n, c, h, w)``, or ``(n, h, w)`` of one channel, array or tensor: uint8 or uint16,
            of which the largest value becomes 1, or numbers in [0, 1].
        recipe: geometry, anatomy and intensity; its window and orient are for files and are not
            used. View roi takes the square in the middle of each image.
        spacing_mm: one number, ``(2,)`` or ``(n, 2)``; by default what the recipe assumes.
        case_id: names ``(n,)``, each different; by default ``array[0]`` and so on.
        patients: names ``(n,)``; an image without one (None, NaN, "") is of a patient of its own,
            by default all are.
        label: of all of them.
        keep_going: put images that fail into ``failed``, also where all do.

    Raises:
        InputError: wrong shape or values, or an image that cannot be prepared.
    """
    images = _unit_range(as_array(pixels))
    named = [f"array[{i}]" for i in range(len(images))] if case_id is None else case_id
    names = np.asarray(named).astype(str)
    cohort = _array_cohort(images, spacing_mm, names, _patients(patients, names), label)
    rules = Rules(recipe)
    shape = rules.shape(len(cohort))
    attempts = (
        (row, rules.attempt(case, partial(_image, images[row], case)))
        for row, case in enumerate(cohort)
    )
    prepared = of_store(cohort, in_memory(shape, rules.each, attempts), rules)
    if prepared.failed and not keep_going:
        raise cannot_be_prepared(prepared.failed, len(cohort))
    return prepared


def _image(pixels: Pixels, case: Case) -> Image:
    """One image of the array, which fails alone where a pixel is no number."""
    if not np.isfinite(pixels).all():
        raise InputError(f"{case.case_id}: has pixels that are no number (NaN or infinite)")
    return Image(pixels, case.spacing_mm)


def as_array(pixels: ArrayLike) -> NDArray[Any]:
    """Numbers as they are; a value that is masked is no number.

    Raises:
        InputError: images of several sizes, or no real numbers.
    """
    try:
        images = np.asarray(pixels)
    except ValueError as error:
        raise InputError(
            f"pixels are no array ({error}); images of several sizes are prepared as files"
        ) from error
    if images.dtype.kind == "O":
        try:
            images = images.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"pixels are no numbers ({error})") from error
    if images.dtype.kind not in "buif":
        raise InputError(f"pixels of {images.dtype}, expected real numbers")
    if not np.ma.is_masked(pixels):
        return images
    return _unmasked(images, np.ma.getmaskarray(np.ma.asarray(pixels)))


def _unmasked(images: NDArray[Any], masked: NDArray[np.bool_]) -> NDArray[Any]:
    """The same as numbers in [0, 1], NaN where they are masked."""
    found = images.astype(np.float32) / np.float32(LARGEST.get(images.dtype.name, 1))
    return np.where(masked, np.float32(np.nan), found)


def _patients(patients: ArrayLike | None, names: NDArray[np.str_]) -> NDArray[np.str_]:
    """The patient of each image; whose is not known is a patient of its own, as in a manifest."""
    if patients is None:
        return names
    known = [_spelt(one) for one in np.asarray(patients, object).tolist()]
    return np.array([n if k in NOBODY else k for k, n in zip(known, names.tolist(), strict=True)])


def _spelt(patient: object) -> str:
    """A number that pandas made 7.0 of is 7."""
    whole = isinstance(patient, float) and patient.is_integer()
    return str(int(patient) if whole else patient).strip()  # type: ignore[call-overload]


def _unit_range(pixels: NDArray[Any]) -> Pixels:
    """Float32 ``(n, c, h, w)`` in [0, 1], but for what is no number."""
    images: NDArray[Any] = pixels[:, None] if pixels.ndim == 3 else pixels
    if images.ndim == 4 and images.shape[3] in _CHANNELS and images.shape[1] not in _CHANNELS:
        raise InputError(
            f"pixels of shape {pixels.shape} have their channels last, expected (n, c, h, w); "
            "give pixels.transpose(0, 3, 1, 2)"
        )
    if images.ndim != 4 or not len(images):
        raise InputError(
            f"pixels of shape {pixels.shape}, expected (n, h, w) or (n, c, h, w) with n above 0"
        )
    largest = LARGEST.get(images.dtype.name)
    images = images.astype(np.float32)
    if largest is not None:
        return np.asarray(images / np.float32(largest))
    known = np.isfinite(images)
    low = images.min(where=known, initial=np.inf)
    high = images.max(where=known, initial=-np.inf)
    if low < 0 or high > 1:
        raise InputError(
            f"pixels of {pixels.dtype} from {low:g} to {high:g}, expected uint8, "
            "uint16 or numbers in [0, 1]; divide by the largest possible value"
        )
    return images


def _array_cohort(
    images: Pixels,
    spacing_mm: float | ArrayLike | None,
    names: NDArray[np.str_],
    patients: NDArray[np.str_],
    label: int | None,
) -> Cohort:
    """Cases that stand for the images of an array, left to themselves and centred."""
    n, _, height, width = images.shape
    spacing: NDArray[np.float64] | None = None
    if spacing_mm is not None:
        try:
            spacing = np.broadcast_to(np.asarray(spacing_mm, np.float64), (n, 2))
        except ValueError as error:
            raise InputError(
                f"spacing_mm of shape {np.shape(spacing_mm)}, expected a number, (2,) or ({n}, 2)"
            ) from error
        if not (np.isfinite(spacing).all() and spacing.min() > 0):
            raise InputError("spacing_mm must be finite numbers above 0")
    cases = []
    for i, (name, patient) in enumerate(zip(names.tolist(), patients.tolist(), strict=True)):
        case = Case(
            name,
            Path(name),
            label,
            patient,
            spacing_mm=None if spacing is None else (float(spacing[i, 0]), float(spacing[i, 1])),
            centre=((width - 1) / 2, (height - 1) / 2),
            laterality="L",
        )
        cases.append(case)
    return Cohort(tuple(cases), "array")
