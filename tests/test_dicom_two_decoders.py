"""DICOM read twice: by midclass, and by decoders and formulas that share no code with it."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from dicom_cases import dcmtk_can, gdcm_can, made, of_dcmtk, of_gdcm, written
from midclass.images.formats.read import decode, read

QUICK, ALL = 150, 2000
ROUNDING = 2e-7
"""Of float32; the formulas are computed in double precision."""
DCMTK_ROUNDING = 2 / 255
"""It computes lookup tables of 8 bits with 8 bits."""
LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91")


def check(seed: int, folder: Path) -> None:
    rng = np.random.default_rng(seed)
    one = made(rng)
    grey = one.photometric.startswith("MONOCHROME")
    given = (-10.0, 50.5) if grey and rng.random() < 0.15 else None
    path = written(one, folder / f"{seed}.dcm")
    np.testing.assert_array_equal(decode(path).reshape(one.values.shape), one.values, f"{one}")
    if gdcm_can(one) and (values := of_gdcm(path)) is not None:
        np.testing.assert_array_equal(values.reshape(one.values.shape), one.values, f"{one}")
    for frame, expected in enumerate(one.expected(given)):
        pixels = read(path, frame=frame, window=given).pixels
        np.testing.assert_allclose(pixels, expected, rtol=0, atol=ROUNDING, err_msg=f"{one}")


def test_generated_files_are_read_to_the_pixels_of_the_standard(tmp_path: Path) -> None:
    for seed in range(QUICK):
        check(seed, tmp_path)


@pytest.mark.thorough
@pytest.mark.slow
def test_two_thousand_generated_files_are_read_to_the_pixels_of_the_standard(
    tmp_path: Path,
) -> None:
    for seed in range(QUICK, ALL):
        check(seed, tmp_path)


@pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="dcm2pnm (dcmtk) is not installed")
def test_generated_files_are_displayed_as_by_dcmtk(tmp_path: Path) -> None:
    compared = 0
    for seed in range(QUICK // 2):
        one = made(np.random.default_rng(seed))
        one.padding = None
        if not dcmtk_can(one):
            continue
        path = written(one, tmp_path / f"{seed}.dcm")
        other = of_dcmtk(one, path)
        assert other is not None, one
        # Of signed values, dcmtk takes another end of the range that the bits can hold.
        step = DCMTK_ROUNDING + 2.0 / 2**one.stored
        np.testing.assert_allclose(
            read(path, frame=0).pixels, other, rtol=0, atol=step, err_msg=f"{one}"
        )
        compared += 1
    assert compared > QUICK // 8


@pytest.mark.realdata
@pytest.mark.slow
def test_real_files_have_the_stored_values_that_gdcm_decodes(shared_data: Path) -> None:
    folder, compared, lossy = shared_data / "reader_tests", 0, 0
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "dicom"]
    for row in rows:
        path = folder / row["path"]
        if row["decodes"] != "yes" or row["bits_allocated"] in ("1", "32"):
            continue
        if row["photometric"] not in ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_RCT"):
            continue  # palettes end the process of GDCM, and it leaves other colour as it is
        values = of_gdcm(path)
        if values is None:
            continue
        mine = decode(path).reshape(values.shape)
        if row["transfer_syntax"] in LOSSY:
            np.testing.assert_allclose(mine.astype(int), values, rtol=0, atol=1, err_msg=str(path))
            lossy += 1
        else:
            np.testing.assert_array_equal(mine, values, str(path))
        compared += 1
    assert (compared, lossy) == (48, 6)
