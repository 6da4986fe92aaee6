"""npz: numpy archives as MedMNIST has them, an image a row of an array."""

from __future__ import annotations

import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from midclass.errors import InputError
from midclass.images.formats.contents import State, contents, state_of
from midclass.images.formats.raw import Raw, Values, finite_range, integer_range, pick_frame


def stored_values(path: Path, array: str | None, index: int | None) -> Values:
    """One row of an array, as stored."""
    values = _array(path, state_of(path), array)
    if index is None or not 0 <= index < len(values):
        raise InputError(f"{path}: index {index} of {array}, expected 0 to {len(values) - 1}")
    return np.asarray(values[index])


@lru_cache(maxsize=2)  # a cohort reads row after row of the same array
def _array(path: Path, state: State, array: str | None) -> Values:
    """A whole array; ``state`` is part of the key, so that a changed file is read again."""
    data = io.BytesIO(contents(path))
    if not zipfile.is_zipfile(data):
        raise InputError(f"{path}: is truncated or no npz file (the zip directory is missing)")
    with np.load(data, allow_pickle=False) as file:
        if array not in file.files:
            raise InputError(f"{path}: has no array {array!r}; it has {', '.join(file.files)}")
        values = np.asarray(file[array])
    if values.ndim < 3 or values.dtype.kind not in "biuf":
        raise InputError(
            f"{path}: array {array} is {values.dtype} {values.shape}, expected (n, h, w)"
        )
    values.setflags(write=False)
    return values


def read_npz(
    path: Path,
    values: Values,
    frame: int | None,
    window: tuple[float, float] | None,
    volume: bool,
) -> Raw:
    """One image, or a volume; ``values`` are those of the row, see ``read`` for the others."""
    bits = 1 if values.dtype.kind == "b" else values.dtype.itemsize * 8
    low, high = window or (
        finite_range(values)
        if values.dtype.kind == "f"
        else integer_range(bits, signed=values.dtype.kind == "i")
    )
    if values.ndim == 3 and values.shape[-1] != 3:
        if not volume:
            values = values[pick_frame(path, len(values), frame)]
    elif volume or frame is not None or values.ndim > 3:
        raise InputError(f"{path}: a row of shape {values.shape}, expected a volume (d, h, w)")
    return Raw(values, low, high, colour=not volume and values.ndim == 3)
