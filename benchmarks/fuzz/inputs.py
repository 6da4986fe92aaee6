"""A number -> a spoiled input: the seed and the number alone decide what it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzz.archives import spoil_nifti, spoil_npz, spoil_weights
from fuzz.dicoms import spoil_dicom
from fuzz.rasters import spoil_jpeg, spoil_png, spoil_tiff
from fuzz.right import Seed
from fuzz.spoil import spoil_any
from fuzz.tables import spoil_csv
from fuzz.texts import spoil_json, spoil_yaml

SHARES = {
    "DICOM": 0.22,
    "real DICOM": 0.13,
    "NIfTI": 0.08,
    "real NIfTI": 0.03,
    "PNG": 0.09,
    "JPEG": 0.06,
    "TIFF": 0.1,
    "npz": 0.06,
    "weights": 0.06,
    "detector.json": 0.06,
    "recipe": 0.05,
    "study": 0.02,
    "manifest": 0.03,
    "score table": 0.01,
}
MADE = {"real DICOM": "DICOM", "real NIfTI": "NIfTI"}
"""What takes the place of real files where there are none."""
STRUCTURED = {
    "DICOM": spoil_dicom,
    "real DICOM": spoil_dicom,
    "NIfTI": spoil_nifti,
    "real NIfTI": spoil_nifti,
    "PNG": spoil_png,
    "JPEG": spoil_jpeg,
    "TIFF": spoil_tiff,
    "npz": spoil_npz,
    "weights": spoil_weights,
    "detector.json": spoil_json,
    "recipe": spoil_yaml,
    "study": spoil_yaml,
    "manifest": spoil_csv,
    "score table": spoil_csv,
}
NAMES = {
    "DICOM": "input.dcm",
    "real DICOM": "input.dcm",
    "NIfTI": "input.nii",
    "PNG": "input.png",
    "real NIfTI": "input.nii",
    "JPEG": "input.jpg",
    "TIFF": "input.tif",
    "npz": "input.npz",
    "weights": "weights.safetensors",
    "detector.json": "detector.json",
    "recipe": "input.yaml",
    "study": "input.yaml",
    "manifest": "input.csv",
    "score table": "input.csv",
}


@dataclass(frozen=True)
class Input:
    """One file to try, with the others of its folder.

    Attributes:
        number: with the seed, what makes it.
        seed: the right file that it was made of.
        what: what was done to it.
        data: its bytes.
    """

    number: int
    seed: Seed
    what: str
    data: bytes

    def write(self, folder: Path) -> Path:
        """Write it and the files beside it; gives the path that a user would name."""
        folder.mkdir(parents=True)
        for name, data in self.seed.beside.items():
            (folder / name).write_bytes(data)
        path = folder / NAMES[self.seed.kind]
        path.write_bytes(self.data)
        return folder if self.seed.kind in ("weights", "detector.json") else path


def kind_of(seed: int, number: int) -> str:
    """The kind of the input of a number, where there are real files."""
    rng = np.random.default_rng([seed, number])
    return str(rng.choice(list(SHARES), p=list(SHARES.values())))


def make(seed: int, number: int, seeds: dict[str, list[Seed]]) -> Input:
    """The input of a number; number 0 and every 500th are whole files, which must be right."""
    rng = np.random.default_rng([seed, number])
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    if kind not in seeds:
        kind = MADE[kind]
    chosen = seeds[kind][int(rng.integers(len(seeds[kind])))]
    if number % 500 == 0:
        return Input(number, chosen, "nothing", chosen.data)
    data, names = chosen.data, []
    turn = rng.random()
    if turn < 0.65:
        try:
            data, what = STRUCTURED[kind](data, rng)
        except (ValueError, KeyError, IndexError, StopIteration, AttributeError) as error:
            what = f"not spoiled: {type(error).__name__}"
        names.append(what)
    if turn > 0.6 or data == chosen.data:
        data, what = spoil_any(data, rng)
        names.append(what)
    return Input(number, chosen, "; ".join(names), data)
