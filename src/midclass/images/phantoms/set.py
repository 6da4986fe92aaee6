"""Generated breast, head and chest phantoms with lesions: the offline default of demo and tests.

Normal anatomy is random geometry in millimetres with power-law texture (spectrum 1 / f^beta; beta
about 3 in mammograms: Burgess, SPIE 3663, 1999). Lesions are grown, filled or superposed in the
physical quantity (attenuation, Hounsfield units) and share no code with the knowledge operators:
a test on phantoms must not be a test on the training classes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midclass.errors import InputError
from midclass.files import new_folder
from midclass.images.phantoms.breast import breast
from midclass.images.phantoms.chest import chest
from midclass.images.phantoms.head import head
from midclass.images.phantoms.scene import Array, Scene
from midclass.images.phantoms.stand_ins import (
    axial_chest,
    eye,
    limb,
    naevus,
    stripped_brain,
    ultrasound,
)
from midclass.owned import LIST

_FILES = ("manifest.csv", "phantoms.json")
_COLUMNS = ("path", "label", "class_name", "patient_id", "split", "spacing_mm")


@dataclass(frozen=True)
class _Kind:
    field_of_view_mm: float
    images_per_patient: int  # both breasts, some slices, one radiograph
    render: Callable[[Scene, str | None], Array]
    lesions: tuple[str, ...]


_KINDS = {
    "breast": _Kind(200, 2, breast, ("mass", "distortion", "asymmetry")),
    "head": _Kind(225, 3, head, ("intraparenchymal", "subdural", "subarachnoid", "epidural")),
    "chest": _Kind(300, 1, chest, ("consolidation", "bronchopneumonia", "effusion")),
}
KINDS = tuple(_KINDS)
_STAND_INS = {
    "eye": _Kind(13.5, 2, eye, ()),
    "naevus": _Kind(18, 1, naevus, ()),
    "limb": _Kind(300, 1, limb, ()),
    "ultrasound": _Kind(45, 1, ultrasound, ()),
    "axial_chest": _Kind(360, 3, axial_chest, ()),
    "stripped_brain": _Kind(200, 3, stripped_brain, ()),
}
STAND_INS = tuple(_STAND_INS)
"""Kinds of which there are normal images alone, to look at a recipe with."""
_ALL = _KINDS | _STAND_INS
_GROUPS = ("train", "given", "target")  # each with patients of its own


def _kind(name: str, seed: int, size: int, *counts: int, target: bool = False) -> _Kind:
    if name not in _ALL:
        raise InputError(f"no phantom kind {name!r}; the kinds are {', '.join(_ALL)}")
    if target and name in _STAND_INS:
        raise InputError(f"phantoms of kind {name} have no lesions; {', '.join(_KINDS)} have some")
    if size < 32:
        raise InputError(f"phantom size {size} px is too small for anatomy; use 32 or more")
    if seed < 0:
        raise InputError(f"phantom seed {seed} is negative; use 0 or more")
    if min(counts) < 0:
        raise InputError(f"number of phantoms {min(counts)} is negative; use 0 or more")
    return _ALL[name]


def _image(name: str, seed: int, group: int, index: int, size: int, target: bool) -> Array:
    """Image ``index`` of a group: float64 ``(size, size)`` in [0, 1], from its own seeds alone."""
    kind = _ALL[name]
    patient, number = divmod(index, kind.images_per_patient)
    key = (seed, list(_ALL).index(name), group, patient)
    scene = Scene(
        size,
        kind.field_of_view_mm / size,
        number,
        patient=np.random.default_rng([*key, 0]),
        image=np.random.default_rng([*key, 1, number]),
        lesion=np.random.default_rng([*key, 2, number]),
    )
    return kind.render(scene, kind.lesions[index % len(kind.lesions)] if target else None)


def make(
    kind: str, n: int, seed: int, *, size: int = 128, target: bool = False
) -> NDArray[np.float32]:
    """Phantoms as float32 ``(n, size, size)`` in [0, 1].

    Image ``i`` depends on the seed and ``i`` alone, not on ``n``. With ``target``, image ``i`` is
    its given-class twin (same anatomy, exposure and noise) plus a lesion: give another seed where
    the two must be different patients, as :func:`write` does.

    Raises:
        InputError: unknown kind, ``size`` under 32, or a negative ``n`` or seed.

    >>> make("head", 2, seed=0).shape
    (2, 128, 128)
    """
    _kind(kind, seed, size, n, target=target)
    images = [_image(kind, seed, 0, i, size, target) for i in range(n)]
    return np.asarray(images, np.float32).reshape(n, size, size)


def write(
    folder: Path,
    kind: str,
    seed: int,
    n_train: int = 300,
    n_test: int = 100,
    *,
    size: int = 128,
) -> Path:
    """Write a phantom set and return its manifest; the folder appears whole or not at all.

    16-bit grey PNG files and ``manifest.csv`` with path, label, class_name, patient_id, split and
    spacing_mm: ``n_train`` given-class images, ``n_test`` more and ``n_test`` of the target
    class, each group with patients of its own. A phantom set at ``folder`` is replaced.

    Raises:
        InputError: unknown kind, bad numbers, or ``folder`` holds anything but a phantom set.
    """
    spec, folder = _kind(kind, seed, size, n_train, n_test, target=n_test > 0), Path(folder)
    _refuse_foreign(folder)
    with new_folder(folder, overwrite=True, synced=False) as new:
        (new / "images").mkdir()
        rows = []
        for group, count in enumerate((n_train, n_test, n_test)):
            for i in range(count):
                row = _row(kind, spec, group, i, size)
                pixels = _image(kind, seed, group, i, size, target=group == 2)
                Image.fromarray(np.rint(pixels * 65535).astype(np.uint16)).save(new / row["path"])
                rows.append(row)
        with (new / _FILES[0]).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        about = {"kind": kind, "seed": seed, "n_train": n_train, "n_test": n_test, "size": size}
        (new / _FILES[1]).write_text(json.dumps(about) + "\n", encoding="utf-8")
    return folder / _FILES[0]


def _row(kind: str, spec: _Kind, group: int, index: int, size: int) -> dict[str, str]:
    patient, name = index // spec.images_per_patient, _GROUPS[group]
    return {
        "path": f"images/{name}_{index:05d}.png",
        "label": str(int(group == 2)),
        "class_name": spec.lesions[index % len(spec.lesions)] if group == 2 else "normal",
        "patient_id": f"{kind}-{name}-{patient:05d}",
        "split": "train" if group == 0 else "test",
        "spacing_mm": repr(spec.field_of_view_mm / size),
    }


def _refuse_foreign(folder: Path) -> None:
    """A folder is replaced only if every file in it is listed by a phantom set's manifest."""
    if folder.is_dir() and not folder.is_symlink():
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
        if not found:
            return
        known = {*_FILES, LIST}
        if found >= set(_FILES):
            with (folder / _FILES[0]).open(newline="", encoding="utf-8") as file:
                known |= {row.get("path", "") for row in csv.DictReader(file)}
        foreign = sorted(found - known) if found >= set(_FILES) else sorted(found)
        if foreign:
            raise InputError(f"{folder} holds {foreign[0]}, no phantom; give a new folder")
    elif folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} is not a folder of phantoms; give a new folder")
