"""npz: numpy archives as MedMNIST has them, an image a row of an array (numpy.lib.format).

What an array will take is known from its own header; the sizes in the directory of a zip file are
not believed.
"""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from midclass.errors import InputError
from midclass.images.formats.contents import State, state_of
from midclass.images.formats.limits import BLOCK, check_size
from midclass.images.formats.raw import Raw, Values, finite_range, integer_range, pick_frame

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def stored_values(path: Path, array: str | None, index: int | None) -> Values:
    """One row of an array, as stored."""
    values = _array(path, state_of(path), array)
    if index is None or not 0 <= index < len(values):
        raise InputError(f"{path}: index {index} of {array}, expected 0 to {len(values) - 1}")
    return np.asarray(values[index])


def read_npz(
    path: Path,
    array: str | None,
    index: int | None,
    *,
    frame: int | None,
    window: tuple[float, float] | None,
    volume: bool,
) -> Raw:
    """One image, or a volume; see ``read`` for the arguments.

    The range is that of the bits for booleans and unsigned integers of 8 and 16 bits. Numbers of
    other types do not say how they are meant: their range is the lowest to the highest value of
    all arrays of the file with rows of that type and shape, so that every row has one scale.
    """
    values = stored_values(path, array, index)
    row, dtype = values.shape, values.dtype
    if values.ndim == 3 and not volume and frame is None and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim == 3 and values.shape[-1] != 3:
        if not volume:
            values = values[pick_frame(path, len(values), frame)]
    elif volume or frame is not None or values.ndim > 3:
        raise InputError(f"{path}: a row of shape {values.shape}, expected a volume (d, h, w)")
    check_size(path, values.shape)
    if window is None and dtype.kind in "bu" and dtype.itemsize <= 2:
        bits = 1 if dtype.kind == "b" else dtype.itemsize * 8
        window = integer_range(bits, signed=False)
    low, high = window or _range(path, state_of(path), dtype.str, row)
    return Raw(values, low, high, colour=not volume and values.ndim == 3)


@lru_cache(maxsize=2)
def _range(path: Path, state: State, dtype: str, row: tuple[int, ...]) -> tuple[float, float]:
    """The lowest and highest finite value of all arrays of the file with such rows."""
    bounds: list[float] = []
    with _archive(path) as archive:
        for array, member in _members(archive).items():
            with archive.open(member) as stream:
                shape, _, found = _header(path, array, stream)
            if shape[1:] == row and found.str == dtype:
                bounds += finite_range(_array(path, state, array))
    return min(bounds), max(bounds)


@lru_cache(maxsize=2)  # a cohort reads row after row of the same array
def _array(path: Path, state: State, array: str | None) -> Values:
    """A whole array; ``state`` is part of the key, so that a changed file is read again."""
    with _archive(path) as archive:
        members = _members(archive)
        if array is None or array not in members:
            names = ", ".join(list(members)[:10]) + (", ..." if len(members) > 10 else "")
            raise InputError(f"{path}: has no array {array!r}; it has {names}")
        with archive.open(members[array]) as stream:
            shape, by_column, dtype = _header(path, array, stream)
            if len(shape) < 3 or min(shape) < 1 or dtype.kind not in "biuf":
                raise InputError(
                    f"{path}: array {array} is {dtype} {shape}, expected numbers (n, h, w)"
                )
            check_size(path, shape, dtype.itemsize, packed=state.size)
            values = _filled(path, array, stream, shape[::-1] if by_column else shape, dtype)
    values = values.T if by_column else values
    values.setflags(write=False)
    return values


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InputError(
            f"{path}: is truncated or no npz file (the zip directory is missing)"
        ) from error


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """What numpy can have written, by the names of the arrays."""
    known = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    found = [one for one in archive.infolist() if one.compress_type in known]
    return {one.filename[:-4]: one for one in found if one.filename.endswith(".npy")}


def _header(
    path: Path, array: str, stream: IO[bytes]
) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, whether columns come first, and type."""
    version = np.lib.format.read_magic(stream)
    if version not in HEADERS:
        raise InputError(f"{path}: array {array} is no plain array of numbers; write it again")
    shape, by_column, dtype = HEADERS[version](stream)
    return shape, by_column, np.dtype(dtype)


def _filled(
    path: Path, array: str, stream: IO[bytes], shape: tuple[int, ...], dtype: DTypeLike
) -> Values:
    """As many values as the header promises, and not one byte more; the checksum is compared."""
    values: NDArray[np.generic] = np.empty(shape, dtype)
    data, at = values.reshape(-1).view(np.uint8), 0
    while at < len(data):
        block = stream.read(min(BLOCK, len(data) - at))
        if not block:
            raise InputError(
                f"{path}: array {array} is truncated: {at} of {len(data)} bytes are there"
            )
        data[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    if stream.read(1):
        raise InputError(f"{path}: array {array} is longer than its header says; write it again")
    return values
