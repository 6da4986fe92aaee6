"""Ultrasound in DICOM files: the scanner's regions tell where tissue is, and its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from midclass.images.formats.dicom import read_dicom
from midclass.images.formats.dicom_header import header_of
from midclass.images.formats.read import read
from test_dicom import item, write_dicom

SCREEN = np.full((40, 60), 200, np.uint8)
COLOUR = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0}


def region(rows: tuple[int, int], columns: tuple[int, int], **more: Any) -> Dataset:
    """A plane through tissue, of pixels that are 0.2 mm high and 0.3 mm wide."""
    told = {
        "RegionSpatialFormat": 1,
        "RegionLocationMinY0": rows[0],
        "RegionLocationMaxY1": rows[1],
        "RegionLocationMinX0": columns[0],
        "RegionLocationMaxX1": columns[1],
        "PhysicalUnitsXDirection": 3,
        "PhysicalUnitsYDirection": 3,
        "PhysicalDeltaY": 0.02,
        "PhysicalDeltaX": 0.03,
    }
    return item(**(told | more))


def screen(path: Path, *regions: Dataset, **more: Any) -> Path:
    return write_dicom(path, SCREEN, SequenceOfUltrasoundRegions=list(regions), **more)


def test_the_region_tells_the_size_of_pixels_and_what_is_beside_it_is_dark(tmp_path: Path) -> None:
    image = read(screen(tmp_path / "a", region((5, 29), (10, 49))))
    assert image.spacing_mm == pytest.approx((0.2, 0.3))
    shown = np.zeros(SCREEN.shape, bool)
    shown[5:30, 10:50] = True  # the last row and column belong to the region
    np.testing.assert_array_equal(image.pixels[0] > 0, shown)
    assert image.pixels[0][shown].max() == pytest.approx(200 / 255)


def test_in_colour_and_of_a_scanner_that_shows_high_values_dark(tmp_path: Path) -> None:
    coloured = np.full((40, 60, 3), (200, 100, 50), np.uint8)
    one = region((5, 29), (10, 49))
    path = write_dicom(
        tmp_path / "a", coloured, Rows=40, Columns=60, SequenceOfUltrasoundRegions=[one], **COLOUR
    )
    pixels = read(path).pixels
    assert not pixels[:, :5].any()
    assert pixels[:, 5, 10].tolist() == pytest.approx([200 / 255, 100 / 255, 50 / 255])
    turned = read(screen(tmp_path / "b", one, PhotometricInterpretation="MONOCHROME1"))
    assert not turned.pixels[0, :5].any()
    assert turned.pixels[0, 5, 10] == pytest.approx(55 / 255)


def test_two_planes_of_one_scale_are_both_shown_and_curves_are_not(tmp_path: Path) -> None:
    left, right = region((5, 29), (0, 19)), region((5, 29), (30, 59))
    curve = region((31, 39), (0, 59), RegionSpatialFormat=4)
    image = read(screen(tmp_path / "a", left, curve, right))
    assert image.spacing_mm == pytest.approx((0.2, 0.3))
    assert (image.pixels[0, 10] > 0).sum() == 50
    assert not image.pixels[0, 31:].any()
    finer = region((5, 29), (30, 59), PhysicalDeltaX=0.01)
    assert read(screen(tmp_path / "b", left, finer)).spacing_mm is None


@pytest.mark.parametrize(
    "untold",
    [
        region((5, 41), (10, 49)),  # two rows more than there are: resampled, or cropped
        region((29, 5), (10, 49)),
        region((5, 29), (10, 49), RegionSpatialFormat=3),  # a spectrum
        region((5, 29), (10, 49), RegionLocationMaxX1=None),
    ],
)
def test_a_region_that_cannot_be_one_of_this_image_tells_nothing(
    tmp_path: Path, untold: Dataset
) -> None:
    image = read(screen(tmp_path / "a", untold))
    assert image.spacing_mm is None
    assert image.pixels.min() == pytest.approx(200 / 255)


@pytest.mark.parametrize(
    "more", [{"PhysicalUnitsXDirection": 4}, {"PhysicalDeltaY": 0.0}, {"PhysicalDeltaX": None}]
)
def test_without_centimetres_the_place_is_told_and_no_size(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    image = read(screen(tmp_path / "a", region((5, 29), (10, 49), **more)))
    assert image.spacing_mm is None
    assert not image.pixels[0, :5].any()


def test_where_one_of_two_planes_is_not_told_whole_nothing_is_darkened(tmp_path: Path) -> None:
    left, right = region((0, 39), (0, 29)), region((0, 39), (30, 59), RegionLocationMaxX1=None)
    image = read(screen(tmp_path / "a", left, right))
    assert image.spacing_mm is None
    assert (image.pixels > 0).all()


def test_a_last_line_that_is_counted_as_the_one_after_it_is_no_reason_to_doubt(
    tmp_path: Path,
) -> None:
    image = read(screen(tmp_path / "a", region((5, 40), (10, 60))))
    assert image.spacing_mm == pytest.approx((0.2, 0.3))
    assert (image.pixels[0, 5:, 10:] > 0).all()


@pytest.mark.parametrize(
    "more",
    [{"PhysicalDeltaX": 1e-9}, {"PhysicalDeltaY": 9.0}],
)
def test_a_size_that_no_scanner_has_is_not_believed(tmp_path: Path, more: dict[str, Any]) -> None:
    assert read(screen(tmp_path / "a", region((5, 29), (10, 49), **more))).spacing_mm is None


def test_where_the_aspect_ratio_says_otherwise_it_counts_as_before(tmp_path: Path) -> None:
    one = region((5, 29), (10, 49))
    odd = read(screen(tmp_path / "a", one, PixelAspectRatio=[1, 2]))
    assert odd.spacing_mm is None
    same = read(screen(tmp_path / "b", one, PixelAspectRatio=[2, 3]))
    assert same.spacing_mm == pytest.approx((0.2, 0.3))


def test_what_is_darkened_keeps_the_type_of_the_file(tmp_path: Path) -> None:
    coloured = np.full((40, 60, 3), 100, np.uint8)
    told = {"SequenceOfUltrasoundRegions": [region((5, 29), (10, 49))], **COLOUR}
    path = write_dicom(tmp_path / "a", coloured, Rows=40, Columns=60, **told)
    raw = read_dicom(path, frame=None, window=None, volume=False)
    assert raw.values.dtype == np.uint8
    assert not raw.values[:5].any()
    for low in (-20.0, 0.5, 300.0):  # a window of the user's
        beside = read_dicom(path, frame=None, window=(low, 400.0), volume=False).values[:5]
        assert (beside == low).all()


def test_a_spacing_of_the_image_itself_counts_more(tmp_path: Path) -> None:
    path = screen(tmp_path / "a", region((5, 29), (10, 49)), PixelSpacing=[0.5, 0.5])
    assert read(path).spacing_mm == (0.5, 0.5)


def test_the_header_tells_the_same_spacing(tmp_path: Path) -> None:
    path = screen(tmp_path / "a", region((5, 29), (10, 49)))
    assert header_of(path).spacing_mm == read(path).spacing_mm


@pytest.mark.realdata
def test_real_files_tell_it_or_were_resampled(shared_data: Path) -> None:
    folder = shared_data / "reader_tests" / "dicom"
    echo = read(folder / "pydicom-data" / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    assert echo.spacing_mm == pytest.approx((0.2548, 0.2548), abs=1e-4)
    assert not echo.pixels[0, :38].any()  # letters above the sonogram
    for name in ("examples_palette.dcm", "examples_ybr_color.dcm"):  # smaller than their regions
        image = read(folder / "pydicom" / name, frame=0)
        assert image.spacing_mm is None
        assert image.pixels[:, :20].any()
