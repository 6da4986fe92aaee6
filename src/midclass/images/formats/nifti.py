"""NIfTI: one file -> a slice or the volume as a radiologist looks at it, with spacing in mm.

NIfTI-1 and NIfTI-2 in one file (nifti.nimh.nih.gov). nibabel reads the header and says which way
the axes point; the values are taken from the bytes here, so that of a large file no more is made
than what is asked for. This is the only file that imports nibabel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.formats.contents import State, contents, state_of
from midclass.images.formats.limits import GZIP, SLACK, check_size, gunzip, gunzipped_head
from midclass.images.formats.raw import Raw, Values, finite_range, pick_frame
from midclass.recipe.parts import PLANES, VOLUME

HEADER_BYTES = 540  # of NIfTI-2, the longer one
MM_OF_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""By the lowest three bits of xyzt_units: not said, metre, millimetre, micrometre."""
THICK = 1.5
"""Times as long as its other edges is an edge of a voxel along which slices were acquired."""
AXES = {0: (0, 2, 1), 1: (1, 2, 0), 2: (2, 1, 0)}
"""Of slices across the axis to the patient's right, front or head: their own axis, that of their
rows and that of their columns."""


@dataclass(frozen=True)
class Volume:
    """A file whose values lie in memory as they are stored.

    Attributes:
        stored: in the axis order of the file.
        slope: and intercept, from a stored value to one in the file's units; None leaves it.
        upright: a view of ``stored`` as ``(x, y, z, time)``, to the patient's right, front, head.
        edges_mm: of a voxel, along x, y and z.
        bounds: lowest and highest value of the file, or those that its header says to display.
        placed: whether the header says how the patient lies in it.
    """

    stored: Values
    slope: tuple[float | None, float | None]
    upright: Values
    edges_mm: tuple[float, ...]
    bounds: tuple[float, float]
    placed: bool

    @property
    def across(self) -> int:
        """The axis along which slices follow each other; see ``axis_of_slices``."""
        return axis_of_slices(self.edges_mm, self.upright.shape[:3])

    def shown(self, axis: int) -> Values:
        """``(time, d, rows, cols)``: slices across an axis as a radiologist looks at them."""
        return self.upright.transpose(3, *AXES[axis])[:, :, ::-1, ::-1]

    def spacing_mm(self, axis: int) -> tuple[float, ...]:
        """``(d, rows, cols)``."""
        return tuple(self.edges_mm[one] for one in AXES[axis])


def is_nifti(head: bytes) -> bool:
    """Whether a file that begins so (after gunzip) is NIfTI-1 or NIfTI-2 in one file.

    >>> is_nifti(bytes(344) + b"n+1" + bytes(1)), is_nifti(bytes(352))
    (True, False)
    """
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def stored_values(path: Path) -> Values:
    """The whole array in the axis order of the file, with the slope and intercept applied."""
    volume = _volume(path, state_of(path))
    check_size(path, volume.stored.shape, 1 if volume.slope == (None, None) else 8)
    return _scaled(volume.stored, volume.slope)


def axis_of_slices(edges_mm: Sequence[float], sides: Sequence[int]) -> int:
    """The axis (0 to the right, 1 to the front, 2 to the head) across which a volume is cut.

    That along which it has one voxel, or by far the longest, is the one of the slices that were
    acquired: of a knee they are sagittal, and cut axially each would show a few rows. A volume that
    tells of no such slices is cut axially.

    Args:
        edges_mm: of a voxel along the three axes.
        sides: voxels along them.

    >>> axis_of_slices((0.5, 0.5, 4.0), (256, 256, 30))
    2
    >>> axis_of_slices((0.9, 0.6, 0.6), (30, 256, 256)), axis_of_slices((1, 1, 1), (160, 1, 256))
    (0, 1)
    """
    single = [axis for axis, side in enumerate(sides) if side == 1]
    if len(single) == 1:
        return single[0]
    *_, next_longest, longest = sorted(edges_mm)
    thick = longest >= THICK * next_longest * (1 - 1e-3)  # digits of a header are no difference
    return list(edges_mm).index(longest) if thick else 2


def cut_of(header: Any) -> tuple[str, int]:
    """The plane in which a volume is cut by nibabel's header, and into how many slices.

    The plane is "" where the header does not say how the patient lies in it.
    """
    edges_mm, sides = _along_patient(header.get_best_affine(), header.get_data_shape())
    axis = axis_of_slices(edges_mm, sides)
    return PLANES[axis] if is_placed(header) else "", sides[axis]


def is_placed(header: Any) -> bool:
    """Whether it says how the patient lies: both codes are 0 where axes have no direction."""
    return bool(int(header["qform_code"]) or int(header["sform_code"]))


def plane_of(path: Path) -> int:
    """The axis across which ``read_nifti`` cuts a file; see ``axis_of_slices``."""
    return _volume(path, state_of(path)).across


def shape_of(path: Path, plane: int | None = None) -> tuple[int, ...]:
    """``(time points, slices, rows, cols)`` as ``read_nifti`` gives them."""
    file = _volume(path, state_of(path))
    return file.shown(file.across if plane is None else plane).shape


def read_nifti(
    path: Path,
    *,
    frame: int | None,
    time_point: int | None,
    window: tuple[float, float] | None,
    volume: bool,
    plane: int | None = None,
) -> Raw:
    """A slice, or the volume; see ``read`` for orientation and arguments.

    The range is the header's display range (``cal_min``, ``cal_max``) or else the lowest and
    highest value of the whole file: a NIfTI file does not say how many bits were measured, and
    every slice of a file must have the same scale. ``plane`` is the axis to cut across, where
    another file says it.
    """
    file = _volume(path, state_of(path))
    axis = file.across if plane is None else plane
    shown, spacing_mm = file.shown(axis), file.spacing_mm(axis)
    times = len(shown)
    if time_point is None and times > 1:
        raise InputError(f"{path}: has {times} time points; name one (index 0 to {times - 1})")
    if not 0 <= (time_point or 0) < times:
        raise InputError(f"{path}: index {time_point} does not exist, it has {times} time points")
    chosen = shown[time_point or 0]
    modality = VOLUME if len(chosen) > 1 else ""
    low, high = window or file.bounds
    if not volume:
        chosen, spacing_mm = chosen[pick_frame(path, len(chosen), frame)], spacing_mm[1:]
    check_size(path, chosen.shape)
    values, told = _scaled(chosen, file.slope), PLANES[axis] if file.placed and not volume else ""
    return Raw(values, low, high, spacing_mm=spacing_mm, modality=modality, plane=told)


@lru_cache(maxsize=2)  # slices of a volume, and of its mask, are mostly read one after the other
def _volume(path: Path, state: State) -> Volume:
    """A file; ``state`` keeps the cache honest."""
    import nibabel

    data, header, start = _unpacked(path)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    missing = start + math.prod(shape) * dtype.itemsize - len(data)
    if missing > 0:
        raise InputError(f"{path}: is truncated: {missing} bytes are missing of its {shape} values")
    stored = np.frombuffer(data, dtype, math.prod(shape), offset=start).reshape(shape, order="F")
    slope = header.get_slope_inter()
    affine = _affine(path, header)
    turn = nibabel.io_orientation(affine)  # axes to the right, front and head
    turned = nibabel.apply_orientation(stored.reshape(*shape[:3], -1), turn)
    edges_mm, _ = _along_patient(affine, shape)
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (np.isfinite([low, high]).all() and high > low):
        low, high = sorted(_scaled(np.array(finite_range(stored)), slope).tolist())
    return Volume(stored, slope, turned, edges_mm, (low, high), is_placed(header))


def _along_patient(
    affine: NDArray[np.float64], shape: Sequence[int]
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges of a voxel, and how many there are, to the patient's right, front and head."""
    import nibabel

    # More digits than a header has say nothing.
    edges = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).astype(np.float32)
    axes = [int(axis) for axis in nibabel.io_orientation(affine)[:, 0]]
    stored = [axes.index(axis) for axis in range(3)]
    return tuple(float(edges[one]) for one in stored), tuple(int(shape[one]) for one in stored)


def _unpacked(path: Path) -> tuple[bytes | memoryview, Any, int]:
    """All bytes that the header promises, the header, and where the values begin.

    What is no image of one number per voxel, or larger than the limit, is refused by the header
    alone.
    """
    file = contents(path)
    is_packed = file[:2] == GZIP
    header = _header(gunzipped_head(file, HEADER_BYTES) if is_packed else file[:HEADER_BYTES])
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(f"{path}: values of type {dtype}, expected one number per voxel")
    if len(shape) < 3 or any(n > 1 for n in shape[4:]):
        raise InputError(f"{path}: has axes {shape}, expected 3 (and one of time)")
    if min(shape) < 1:
        raise InputError(f"{path}: has axes {shape}, which hold no voxel")
    start = int(header.get_data_offset())
    if not is_packed:
        return file, header, start
    check_size(path, shape, dtype.itemsize, packed=len(file))
    promised = start + math.prod(shape) * dtype.itemsize
    return gunzip(path, file, promised + SLACK), header, start


def _header(head: bytes) -> Any:
    """nibabel's header, checked, without its remarks on the terminal."""
    import nibabel
    from nibabel import imageglobals

    kind = nibabel.Nifti2Header if head[4:8] == b"n+2\0" else nibabel.Nifti1Header
    logger = imageglobals.logger
    before, logger.disabled = logger.disabled, True
    try:
        return kind(head[: kind.sizeof_hdr])
    finally:
        logger.disabled = before


def _affine(path: Path, header: Any) -> NDArray[np.float64]:
    """From indices to mm: the sform, else the qform, else pixdim, as nibabel chooses.

    Lengths are those of its columns and not pixdim's, which many writers leave at 1.
    """
    unit = int(header["xyzt_units"]) & 7
    if unit not in MM_OF_UNIT:
        raise InputError(
            f"{path}: xyzt_units has {unit} for the unit of length, expected 1 (metre), 2 (mm) or "
            "3 (micrometre); write the header again"
        )
    affine = np.array(header.get_best_affine(), np.float64)
    affine[:3] *= MM_OF_UNIT[unit]
    axes = affine[:3, :3]
    edges = np.sqrt((axes**2).sum(axis=0))
    # Of unit vectors, the volume that they span: 0 where two of them are one.
    if not (np.isfinite(axes).all() and edges.all() and abs(np.linalg.det(axes / edges)) > 1e-3):
        raise InputError(
            f"{path}: its affine (sform, qform or pixdim) does not say where the axes point: "
            f"{np.array2string(axes, precision=3).replace(chr(10), '')}; write the header again"
        )
    return affine


def _scaled(values: Values, slope: tuple[float | None, float | None]) -> Values:
    from nibabel.volumeutils import apply_read_scaling

    return np.asarray(apply_read_scaling(values, *slope))
