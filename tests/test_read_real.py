"""Real DICOM and NIfTI files in many encodings: all are read, or an error says why not."""

from __future__ import annotations

import csv
import hashlib
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi

from midclass import InputError
from midclass.images.formats.read import decode, read

pytestmark = pytest.mark.realdata

# JPEG with losses: the standard lets decoders differ by a step. The manifest has the values of
# libjpeg (GPL-3.0); these are those of Pillow and GDCM, which differ by 3 of 255 and 1 of 4095.
LOSSY_MD5 = {
    "examples_ybr_color.dcm": "56491f2be8a88fbc614c7030768bc27e",
    "JPGExtended.dcm": "812050a7fc53b5735f7740b60969cb6b",
}
# JPEG Extended with an odd scan header, which libjpeg refuses and GDCM decodes.
ODD_HEADER = {
    *("MG1_JPLY.dcm", "RG2_JPLY.dcm", "RG3_JPLY.dcm", "MR1_JPLY.dcm"),
    "JPEG-lossy.dcm",
}
REFUSED = {"MR_truncated.dcm", "no_meta.dcm"}


@lru_cache
def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_all_real_files_decode_to_the_listed_values_or_say_why_not(shared_data: Path) -> None:
    folder, others = shared_data / "reader_tests", set()
    for row in manifest(folder):
        path = folder / row["path"]
        if path.name in REFUSED:
            with pytest.raises(InputError, match=path.name):
                decode(path)
        if row["decodes"] != "yes":
            others.add(path.name)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            values = decode(path)
        assert "x".join(map(str, values.shape)) == row["shape"], path
        if row["md5"]:
            digest = hashlib.md5(np.ascontiguousarray(values).tobytes()).hexdigest()
            assert digest == LOSSY_MD5.get(path.name, row["md5"]), path
            assert float(values.mean()) == pytest.approx(float(row["mean"]), abs=0.02), path
        assert float(values.min()) == pytest.approx(float(row["min"])), path
        assert float(values.max()) == pytest.approx(float(row["max"])), path
    assert others == ODD_HEADER | REFUSED


def test_jpeg_of_12_bits_is_close_to_the_lossless_image_and_clipped(
    shared_data: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "reader_tests" / "dicom"
    for lossy, lossless, largest, mean in (
        ("wg04/RG3_JPLY.dcm", "wg04/RG3_RLE.dcm", 48, 1.8),
        ("wg04/MR1_JPLY.dcm", "wg04/MR1_RLE.dcm", 128, 11.3),
        ("pydicom/JPEG-lossy.dcm", "pydicom/JPGExtended.dcm", 0, 0),
    ):
        one, two = (decode(folder / name).astype(float) for name in (lossy, lossless))
        difference = np.abs(one - two)  # a value that wraps around differs by 1023
        assert difference.max() <= largest, lossy
        assert difference.mean() <= mean, lossy
    assert capfd.readouterr() == ("", "")  # the C library writes for every one of these files


@pytest.mark.slow
def test_all_decodable_real_files_are_read_to_finite_pixels(shared_data: Path) -> None:
    folder = shared_data / "reader_tests"
    for row in manifest(folder):
        if row["decodes"] != "yes" or int(row["rows"] or 0) > 4000:
            continue  # the mammogram takes seconds to decode, which the test above has done
        time_axis = row["kind"] == "nifti" and row["shape"].count("x") == 3
        image = read(folder / row["path"], frame=0, index=0 if time_axis else None)
        assert image.pixels.shape[0] in (1, 3), row["path"]
        assert image.pixels.ndim == 3
        assert np.isfinite(image.pixels).all()
        assert image.pixels.min() >= 0
        assert image.pixels.max() <= 1
        assert image.spacing_mm is None or min(image.spacing_mm) > 0


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("wg04/CT1_*", 5),
        ("wg04/CT2_*", 4),
        ("wg04/RG3_*", 5),
        ("pydicom/MR_small*", 7),
        ("pydicom-data/emri_small*", 4),
    ],
)
def test_encodings_of_one_image_are_read_alike(shared_data: Path, pattern: str, count: int) -> None:
    files = sorted((shared_data / "reader_tests" / "dicom").glob(pattern))
    assert len(files) == count
    readable = [file for file in files if "JPLY" not in file.name]
    first, *others = (read(file, frame=0) for file in readable)
    for other in others:
        np.testing.assert_array_equal(first.pixels, other.pixels)
        assert first.spacing_mm == other.spacing_mm


def test_lookup_tables_in_real_files_agree_with_pydicom(shared_data: Path) -> None:
    folder = shared_data / "reader_tests" / "dicom" / "pydicom-data"
    dataset = pydicom.dcmread(folder / "vlut_04.dcm")
    bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
    expected = apply_voi(dataset.pixel_array, dataset) / (2.0**bits - 1)
    np.testing.assert_allclose(read(folder / "vlut_04.dcm").pixels[0], expected, atol=1e-6)
    dataset = pydicom.dcmread(folder / "mlut_18.dcm")
    bits = dataset.ModalityLUTSequence[0].LUTDescriptor[2]
    expected = apply_modality_lut(dataset.pixel_array, dataset) / (2.0**bits - 1)
    np.testing.assert_allclose(read(folder / "mlut_18.dcm").pixels[0], expected, atol=1e-6)


def test_a_radiograph_stored_as_monochrome1_has_a_dark_background(shared_data: Path) -> None:
    path = shared_data / "reader_tests" / "dicom" / "wg04" / "RG1_J2KI.dcm"
    pixels, stored = read(path).pixels[0], decode(path).astype(float)
    assert np.corrcoef(pixels[::8, ::8].ravel(), stored[::8, ::8].ravel())[0, 1] < -0.9
