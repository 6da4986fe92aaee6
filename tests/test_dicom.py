"""DICOM: windows, inversion, spacing and frames, on small files made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import apply_modality_lut, apply_windowing
from pydicom.uid import ExplicitVRLittleEndian

from dicom_cases import compressed
from midclass import InputError
from midclass.images.formats import dicom_grey, dicom_pixels
from midclass.images.formats.read import decode, file_format, read

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def write_dicom(path: Path, pixels: np.ndarray, **attributes: Any) -> Path:
    """A small uncompressed grey DICOM file; attributes overwrite the defaults."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    bits = pixels.dtype.itemsize * 8
    defaults = {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
    }
    for keyword, value in (defaults | attributes).items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


def waves(top: int) -> np.ndarray:
    """A smooth image whose waves would go over the top value, and are cut off there."""
    y, x = np.mgrid[:64, :48]
    noise = np.random.default_rng(0).normal(0, top / 100, y.shape)
    image = top * (0.6 + 0.6 * np.sin(x / 5) * np.cos(y / 7)) + noise
    return image.clip(0, top).astype(np.uint16)


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize("band", [1, 100])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_values_that_are_looked_up_in_parts_are_those_of_all_at_once(
    tmp_path: Path, photometric: str, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = waves(255 - band).astype(np.uint8)[:63]  # 48 a line: two at once, the last alone
    path = write_dicom(tmp_path / "x.dcm", stored, PhotometricInterpretation=photometric)
    with monkeypatch.context() as patch:  # first, or memory may hold what is right already
        patch.setattr(dicom_grey, "BAND", band)
        parts = read(path).pixels
    assert parts.tobytes() == read(path).pixels.tobytes()
    right = stored / 255
    right = 1 - right if photometric == "MONOCHROME1" else right
    np.testing.assert_allclose(parts[0], right, atol=1e-6)


def test_monochrome1_is_inverted_and_a_window_is_too(tmp_path: Path) -> None:
    one = write_dicom(tmp_path / "1.dcm", RAMP, PhotometricInterpretation="MONOCHROME1")
    two = write_dicom(tmp_path / "2.dcm", RAMP)
    for window in (None, (20.0, 120.0)):
        first, second = (read(path, window=window).pixels for path in (one, two))
        np.testing.assert_allclose(first, 1 - second, atol=1e-6)


def test_a_window_in_hounsfield_units_overrides_the_one_in_the_file(tmp_path: Path) -> None:
    stored = np.array([[-1000, 1024, 1064, 1104, 3000]], dtype=np.int16)
    path = write_dicom(
        tmp_path / "ct",
        stored,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=[500, 1],
        WindowWidth=[2000, 1],
    )
    np.testing.assert_allclose(read(path, window=(0, 80)).pixels[0], [[0, 0, 0.5, 1, 1]])
    expected = (np.array([-2024, 0, 40, 80, 1976]) - 499.5) / 1999 + 0.5
    np.testing.assert_allclose(read(path).pixels[0, 0], expected.clip(0, 1), atol=1e-6)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("slope", [1, 0.5])
def test_windows_agree_with_pydicom(tmp_path: Path, function: str, slope: float) -> None:
    path = write_dicom(
        tmp_path / "x.dcm",
        np.arange(-128, 128, dtype=np.int16).reshape(16, 16),
        BitsStored=8,
        HighBit=7,
        RescaleSlope=slope,
        RescaleIntercept=10,
        WindowCenter=12,
        WindowWidth=60,
        VOILUTFunction=function,
    )
    dataset = pydicom.dcmread(path)
    values = apply_windowing(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    low, high = -128 * slope + 10, 127 * slope + 10
    np.testing.assert_allclose(read(path).pixels[0], (values - low) / (high - low), atol=1e-6)


def test_spacing_comes_from_the_patient_plane_before_the_detector(tmp_path: Path) -> None:
    both = {"PixelSpacing": [0.5, 0.25], "ImagerPixelSpacing": [0.6, 0.3]}
    assert read(write_dicom(tmp_path / "a", RAMP, **both)).spacing_mm == (0.5, 0.25)
    del both["PixelSpacing"]
    assert read(write_dicom(tmp_path / "b", RAMP, **both)).spacing_mm == (0.6, 0.3)
    assert read(write_dicom(tmp_path / "c", RAMP, PixelSpacing=[0, 0])).spacing_mm is None


def test_frames_of_an_enhanced_file_have_their_own_rescale_and_spacing(tmp_path: Path) -> None:
    measures = item(PixelSpacing=[2, 1], SpacingBetweenSlices=3)
    path = write_dicom(
        tmp_path / "x.dcm",
        np.stack([RAMP, RAMP]),
        NumberOfFrames=2,
        SharedFunctionalGroupsSequence=[item(PixelMeasuresSequence=[measures])],
        PerFrameFunctionalGroupsSequence=[
            item(
                PixelValueTransformationSequence=[item(RescaleSlope=s, RescaleIntercept=0)],
                FrameVOILUTSequence=[item(WindowCenter=128, WindowWidth=256)],
            )
            for s in (0.5, 1)
        ],
    )
    with pytest.raises(InputError, match="has 2 frames; name one"):
        read(path)
    with pytest.raises(InputError, match="frame 2 does not exist"):
        read(path, frame=2)
    one, two, volume = read(path, frame=0), read(path, frame=1), read(path, volume=True)
    np.testing.assert_allclose(one.pixels, two.pixels / 2, atol=1e-6)
    np.testing.assert_array_equal(volume.pixels, np.stack([one.pixels, two.pixels], axis=1))
    assert (one.spacing_mm, volume.spacing_mm) == ((2, 1), (3, 2, 1))


def test_a_volume_with_a_rescale_for_each_frame_has_one_scale(tmp_path: Path) -> None:
    slopes = (1, 4)
    path = write_dicom(
        tmp_path / "pet.dcm",
        np.stack([RAMP, RAMP]),
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=[
            item(PixelValueTransformationSequence=[item(RescaleSlope=s, RescaleIntercept=0)])
            for s in slopes
        ],
    )
    expected = np.stack([RAMP * (s / (4 * 255)) for s in slopes])
    np.testing.assert_allclose(read(path, volume=True).pixels[0], expected, atol=1e-6)


def test_dicom_is_recognised_without_name_and_without_preamble(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "IM0001", RAMP)
    bare = tmp_path / "bare.png"
    bare.write_bytes(path.read_bytes()[132:])
    assert file_format(path) == file_format(bare) == "DICOM"
    np.testing.assert_array_equal(read(bare).pixels, read(path).pixels)


def test_an_undecodable_transfer_syntax_is_named(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x.dcm", RAMP)
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"x\.dcm.* RLE Lossless \(1\.2\.840\.10008\.1\.2\.5\)"):
        read(path)


@pytest.mark.parametrize(
    "syntax",
    [
        *("JPEGLosslessProcess14", "JPEGLosslessProcess14_1", "JPEGLSLossless"),
        *("JPEG2000Lossless", "RLELossless"),
    ],
)
def test_lossless_compression_gives_back_the_stored_values(tmp_path: Path, syntax: str) -> None:
    image = waves(4095)
    path = write_dicom(tmp_path / "x.dcm", image, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(decode(compressed(path, syntax)), image)


def test_jpeg_of_12_bits_is_clipped_to_the_stored_bits(tmp_path: Path) -> None:
    image = waves(1023)
    path = write_dicom(tmp_path / "x.dcm", image, BitsStored=10, HighBit=9)
    values = decode(compressed(path, "JPEGExtendedProcess2_4")).astype(int)
    assert np.abs(values - image).max() <= 3  # values that wrap around differ by 1023
    assert values.max() == 1023


@pytest.mark.parametrize(
    "syntax", ["JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEGExtendedProcess2_4"]
)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
def test_a_compressed_stream_that_is_cut_off_is_an_error(
    tmp_path: Path, syntax: str, kept: float
) -> None:
    path = compressed(
        write_dicom(tmp_path / "x.dcm", waves(4095), BitsStored=12, HighBit=11), syntax
    )
    dataset = pydicom.dcmread(path)
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    dataset.PixelData = encapsulate([stream[: int(len(stream) * kept)]])
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"cannot be decoded.* cut off or corrupt"):
        decode(path)


def test_a_kind_of_jpeg_that_nothing_here_decodes_names_the_extra_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed(write_dicom(tmp_path / "x.dcm", waves(127)), "JPEGLSLossless")
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate([b"no stream"])
    for bits, installed, named in ((7, None, True), (7, object(), False), (8, None, False)):
        dataset.BitsStored, dataset.HighBit = bits, bits - 1
        dataset.save_as(path)
        monkeypatch.setattr(dicom_pixels, "find_spec", lambda name, found=installed: found)
        with pytest.raises(InputError) as caught:
            decode(path)
        assert str(caught.value).endswith("pip install 'midclass[gpl-decoders]'") == named


def test_dicom_without_pixels_is_refused(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x.dcm", RAMP, Modality="SR")
    dataset = pydicom.dcmread(path)
    del dataset.PixelData
    dataset.save_as(path)
    with pytest.raises(InputError, match=r"PixelData is missing: a DICOM file without"):
        read(path)


@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_dicom_file_is_an_error(tmp_path: Path, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = write_dicom(tmp_path / "x.dcm", noise)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=r"x\.dcm"):
        read(path)
