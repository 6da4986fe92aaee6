"""Reading PNG, JPEG, TIFF, NIfTI and npz; whatever is broken is an error that names the file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import PIL.Image
import pytest

from midclass import InputError
from midclass.images.formats.holding import images_in
from midclass.images.formats.read import decode, read

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def write_tiff(path: Path, pixels: np.ndarray, photometric: int) -> Path:
    """A little-endian TIFF by hand, since Pillow writes no WhiteIsZero with 16 bits."""
    rows, columns = pixels.shape
    tags = [(256, columns), (257, rows), (258, 16), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, rows), (279, pixels.nbytes)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + pixels.nbytes) + pixels.tobytes() + directory)
    return path


# --- PNG, JPEG, TIFF ----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_divided_by_what_their_bits_can_hold(
    tmp_path: Path, suffix: str, dtype: type
) -> None:
    pixels = RAMP.astype(dtype) * (np.iinfo(dtype).max // 255)
    path = tmp_path / f"x.{suffix}"
    PIL.Image.fromarray(pixels).save(path)
    image = read(path)
    assert image.pixels.dtype == np.float32
    assert image.pixels.shape == (1, 3, 4)
    np.testing.assert_allclose(image.pixels[0], RAMP / 255, atol=1e-6)
    np.testing.assert_array_equal(decode(path), pixels)


def test_float_tiff_spans_its_lowest_to_highest_value(tmp_path: Path) -> None:
    PIL.Image.fromarray(RAMP.astype(np.float32) - 100).save(tmp_path / "x.tif")
    np.testing.assert_allclose(read(tmp_path / "x.tif").pixels[0], RAMP / 220, atol=1e-6)


def test_a_16_bit_tiff_where_white_is_zero_is_inverted(tmp_path: Path) -> None:
    pixels = RAMP.astype("<u2") * 257
    plain = read(write_tiff(tmp_path / "plain.tif", pixels, photometric=1)).pixels
    inverted = read(write_tiff(tmp_path / "inverted.tif", pixels, photometric=0)).pixels
    np.testing.assert_allclose(plain[0], RAMP / 255, atol=1e-6)
    np.testing.assert_allclose(inverted, 1 - plain, atol=1e-6)


def test_signed_tiff_values_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    PIL.Image.fromarray(np.array([[-1000, 0, 3000]], dtype=np.int32)).save(path)
    pixels = read(path, window=(-1000, 3000)).pixels
    np.testing.assert_allclose(pixels[0], [[0, 0.25, 1]])
    assert (np.diff(read(path).pixels) > 0).all()


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK", "RGBA"])
def test_colour_of_any_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    PIL.Image.new("RGB", (16, 8), (255, 0, 0)).convert(mode).save(path)
    pixels = read(path).pixels
    assert pixels.shape == (3, 8, 16)
    np.testing.assert_allclose(pixels.mean(axis=(1, 2)), [1, 0, 0], atol=0.02)


@pytest.mark.parametrize(("mode", "colour"), [("LA", (200, 51)), ("RGBA", (200, 200, 200, 51))])
def test_alpha_is_laid_over_black(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    PIL.Image.new(mode, (4, 4), colour).save(tmp_path / "x.png")
    np.testing.assert_allclose(read(tmp_path / "x.png").pixels, 200 / 255 * 0.2, atol=1e-6)


def test_a_bilevel_image_is_black_and_white(tmp_path: Path) -> None:
    PIL.Image.fromarray(RAMP > 100).save(tmp_path / "x.png")
    np.testing.assert_array_equal(read(tmp_path / "x.png").pixels[0], RAMP > 100)


def test_a_tiff_of_several_pages_needs_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    pages = [PIL.Image.new("L", (4, 4), value) for value in (51, 102)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="has 2 frames; name one"):
        read(path)
    assert read(path, frame=1).pixels.max() == pytest.approx(0.4)


# --- NIfTI --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["RAS", "LPS", "ASL", "SPR"])
@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_slices_look_alike_however_the_volume_is_stored(
    tmp_path: Path, stored: str, suffix: str
) -> None:
    # A mark on the patient's right and front, in the lowest of four slices; x, y, z in RAS.
    ras = np.zeros((5, 6, 4), dtype=np.int16)
    ras[4, 5, 0] = 100
    canonical = nibabel.Nifti1Image(ras, np.diag([1.0, 2.0, 3.0, 1.0]))
    to = nibabel.orientations.axcodes2ornt(tuple(stored))
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(canonical.affine), to)
    path = tmp_path / f"x.{suffix}"
    nibabel.save(canonical.as_reoriented(turn), path)
    image, volume = read(path, frame=0), read(path, volume=True)
    assert image.pixels.shape == (1, 6, 5)
    assert np.argwhere(image.pixels[0]).tolist() == [[0, 0]]  # shown top left
    assert volume.pixels.shape == (1, 4, 6, 5)
    np.testing.assert_array_equal(volume.pixels[:, 0], image.pixels)
    np.testing.assert_allclose(volume.spacing_mm, (3, 2, 1), rtol=1e-6)
    np.testing.assert_allclose(image.spacing_mm, (2, 1), rtol=1e-6)


@pytest.mark.parametrize("stored", ["RAS", "LPS", "ASL", "SPR"])
@pytest.mark.parametrize(
    ("edges_mm", "seen", "spacing_mm"),
    [
        ((4.0, 1.0, 2.0), (5, 4, 6), (4, 2, 1)),  # left to right, head on top, front on the left
        ((1.5, 1.0, 1.0), (5, 4, 6), (1.5, 1, 1)),
        ((1.0, 4.0, 2.0), (6, 4, 5), (4, 2, 1)),  # back to front, head on top, right on the left
        ((1.7, 1.0, 1.2), (6, 4, 5), None),
    ],
    ids=["sagittal", "hardly", "coronal", "alike"],
)
def test_a_volume_is_cut_as_its_slices_were_acquired_however_it_is_stored(
    tmp_path: Path,
    stored: str,
    edges_mm: tuple[float, ...],
    seen: tuple[int, ...],
    spacing_mm: tuple[float, ...] | None,
) -> None:
    # A mark on the patient's right, front and head, and a weaker one half way to the back.
    ras = np.zeros((5, 6, 4), dtype=np.int16)
    ras[4, 5, 3], ras[4, 3, 3] = 100, 50
    canonical = nibabel.Nifti1Image(ras, np.diag([*edges_mm, 1.0]))
    to = nibabel.orientations.axcodes2ornt(tuple(stored))
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(canonical.affine), to)
    path = tmp_path / "x.nii"
    nibabel.save(canonical.as_reoriented(turn), path)
    volume = read(path, volume=True)
    if spacing_mm is None:  # no edge is 1.5 times as long as the next
        assert volume.pixels.shape == (1, 4, 6, 5)
        return
    assert volume.pixels.shape == (1, *seen)
    assert images_in(path) == seen[0]
    marked = np.argwhere(volume.pixels[0]).tolist()
    assert marked == ([[4, 0, 0], [4, 0, 2]] if seen[2] == 6 else [[3, 0, 0], [5, 0, 0]])
    assert volume.pixels[0][tuple(marked[0 if seen[2] == 6 else 1])] == 1
    assert volume.spacing_mm == spacing_mm
    last = read(path, frame=seen[0] - 1)
    np.testing.assert_array_equal(last.pixels, volume.pixels[:, -1])
    assert last.spacing_mm == spacing_mm[1:]


@pytest.mark.parametrize("edge_mm", [0.3, 0.7, 1.05, 0.2])
@pytest.mark.parametrize("unit", [1, 2, 3])
def test_as_many_slices_are_counted_as_are_read(tmp_path: Path, unit: int, edge_mm: float) -> None:
    """Also where an edge is exactly 1.5 times as long as the next, in any unit."""
    edges = np.array([1.5, 1.0, 1.0]) * edge_mm * {1: 1e-3, 2: 1.0, 3: 1e3}[unit]
    values = np.arange(120, dtype=np.int16).reshape(4, 5, 6)
    path = nifti(tmp_path / "x.nii", values, np.diag([*edges, 1.0]), xyzt_units=unit)
    assert images_in(path) == read(path, volume=True).pixels.shape[1] == 4


def test_a_slice_that_is_alone_in_its_file_is_not_cut_across(tmp_path: Path) -> None:
    values = np.arange(20, dtype=np.int16).reshape(4, 1, 5)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
    assert read(tmp_path / "x.nii").pixels.shape == (1, 5, 4)
    assert images_in(tmp_path / "x.nii") == 1


def test_every_slice_of_a_nifti_file_has_the_same_scale(tmp_path: Path) -> None:
    values = np.zeros((2, 2, 2), dtype=np.float32)
    values[..., 0], values[..., 1] = 10, 30
    values[0, 0, 0] = -10
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "x.nii")
    assert read(tmp_path / "x.nii", frame=0).pixels.max() == pytest.approx(0.5)
    assert read(tmp_path / "x.nii", frame=1, window=(0, 60)).pixels.max() == pytest.approx(0.5)


def test_a_time_axis_needs_an_index(tmp_path: Path) -> None:
    values = np.arange(16, dtype=np.int16).reshape(2, 2, 2, 2)
    nibabel.save(nibabel.Nifti2Image(values, np.eye(4)), tmp_path / "x.nii")
    with pytest.raises(InputError, match="has 2 time points; name one"):
        read(tmp_path / "x.nii", frame=0)
    pixels = read(tmp_path / "x.nii", volume=True, index=1).pixels
    assert pixels.max() == 1
    assert pixels.min() == pytest.approx(1 / 15)
    with pytest.raises(InputError, match="index 2 does not exist"):
        read(tmp_path / "x.nii", frame=0, index=2)


# --- NIfTI: units and affine --------------------------------------------------------------------


def nifti(path: Path, values: np.ndarray, affine: np.ndarray, **fields: Any) -> Path:
    """A file whose header fields were changed after nibabel made them fit to each other."""
    data = bytearray(nibabel.Nifti1Image(values, affine).to_bytes())
    header = nibabel.Nifti1Header(data[:348])
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(bytes(header.binaryblock) + bytes(data[348:]))
    return path


VOXELS = np.arange(5 * 6 * 4, dtype=np.int16).reshape(5, 6, 4)


@pytest.mark.parametrize(("code", "mm"), [(0, 1), (1, 1000), (2, 1), (3, 0.001), (8 + 2, 1)])
def test_nifti_lengths_are_in_mm_whatever_their_unit(tmp_path: Path, code: int, mm: float) -> None:
    affine = np.diag([0.8 / mm, 0.7 / mm, 5 / mm, 1])
    path = nifti(tmp_path / "x.nii", VOXELS, affine, xyzt_units=code)
    np.testing.assert_allclose(read(path, frame=0).spacing_mm, (0.7, 0.8), rtol=1e-5)
    np.testing.assert_allclose(read(path, volume=True).spacing_mm, (5, 0.7, 0.8), rtol=1e-5)


def test_a_unit_of_length_that_nifti_does_not_know_is_named(tmp_path: Path) -> None:
    path = nifti(tmp_path / "x.nii", VOXELS, np.eye(4), xyzt_units=5)
    with pytest.raises(InputError, match="xyzt_units has 5 for the unit of length"):
        read(path, frame=0)


@pytest.mark.parametrize("pixdim", [0, 1, 3, np.nan, np.inf, -2])
@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("form", ["sform", "qform"])
def test_nifti_spacing_is_that_of_the_affine_and_not_of_pixdim(
    tmp_path: Path, pixdim: float, flip: int, form: str
) -> None:
    """Stored left to right or right to left, a volume has one spacing and one look."""
    affine = np.diag([0.8 * flip, 0.7, 5, 1])
    codes = {"sform_code": 1, "qform_code": 0, "pixdim": [1, *[pixdim] * 3, 1, 1, 1, 1]}
    if form == "qform":  # which has its lengths from pixdim
        codes = {"sform_code": 0, "qform_code": 1}
    path = nifti(tmp_path / "x.nii", VOXELS[::flip].copy(), affine, **codes)
    image = read(path, frame=1)
    np.testing.assert_allclose(image.spacing_mm, (0.7, 0.8), rtol=1e-5)
    np.testing.assert_allclose(image.pixels[0], VOXELS[::-1, ::-1, 1].T / 119, atol=1e-6)


@pytest.mark.parametrize("column", [0, np.nan, np.inf])
def test_an_affine_that_does_not_say_where_the_axes_point_is_refused(
    tmp_path: Path, column: float
) -> None:
    rows = {"srow_x": [column, 0, 0, 0], "srow_y": [0, 1, 0, 0], "srow_z": [0, 0, 1, 0]}
    path = nifti(tmp_path / "x.nii", VOXELS, np.eye(4), sform_code=1, **rows)
    with pytest.raises(InputError, match="does not say where the axes point"):
        read(path, frame=0)


@pytest.mark.parametrize("slope", [2.5, -2.5])
def test_a_nifti_slope_counts_for_values_and_range(tmp_path: Path, slope: float) -> None:
    image = nibabel.Nifti1Image(VOXELS, np.eye(4))
    data = bytearray(image.to_bytes())
    struct.pack_into("<ff", data, 112, slope, -100)
    (tmp_path / "x.nii").write_bytes(data)
    np.testing.assert_array_equal(decode(tmp_path / "x.nii"), VOXELS * slope - 100.0)
    pixels = read(tmp_path / "x.nii", volume=True).pixels
    expected = VOXELS if slope > 0 else 119 - VOXELS
    np.testing.assert_allclose(pixels[0], expected[::-1, ::-1].transpose(2, 1, 0) / 119, atol=1e-6)
    half = read(tmp_path / "x.nii", frame=0, window=(-100, -100 + slope * 238 if slope > 0 else 0))
    assert half.pixels.max() == pytest.approx(0.487, abs=0.02) if slope > 0 else True


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int32, np.int64, np.uint32])
def test_every_row_of_an_npz_file_has_one_scale(tmp_path: Path, dtype: type) -> None:
    """Numbers that do not say how they are meant go from the lowest to the highest of the file."""
    train = np.stack([RAMP, RAMP // 2]).astype(dtype)
    test = np.stack([RAMP * 1.1, RAMP * 0]).astype(dtype)
    other = np.full((1, 9, 9), 5000).astype(dtype)  # of another shape: another kind of image
    np.savez(tmp_path / "x.npz", train=train, test=test, other=other)
    for name, rows in {"train": train, "test": test}.items():
        for index, row in enumerate(rows):
            pixels = read(tmp_path / "x.npz", array=name, index=index).pixels[0]
            np.testing.assert_allclose(pixels, row / float(test.max()), atol=1e-6)
    windowed = read(tmp_path / "x.npz", array="train", index=0, window=(0, 440)).pixels
    np.testing.assert_allclose(windowed[0], RAMP / 440, atol=1e-6)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">u2", "|b1"])
def test_npz_arrays_of_any_order_are_read_by_what_their_bits_can_hold(
    tmp_path: Path, dtype: str, order: Any
) -> None:
    rows = np.asarray(np.stack([RAMP, RAMP[::-1]]).astype(dtype), order=order)
    np.savez_compressed(tmp_path / "x.npz", a=rows)
    most = {"|u1": 255, "<u2": 65535, ">u2": 65535, "|b1": 1}[dtype]
    for index, row in enumerate(rows):
        pixels = read(tmp_path / "x.npz", array="a", index=index).pixels[0]
        np.testing.assert_allclose(pixels, row / most, atol=1e-6)


@pytest.mark.parametrize("kind", ["C.npz", "F.npz", "big-endian.npz", "x.tif", "x.nii"])
def test_what_is_in_the_unit_range_already_is_read_as_if_it_were_scaled(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, path = np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6), tmp_path / kind
    where: dict[str, Any] = {"array": "a", "index": 0} if kind.endswith("npz") else {}
    if kind == "x.tif":
        PIL.Image.fromarray(values).save(path)
    elif kind == "x.nii":
        nibabel.save(nibabel.Nifti1Image(values[..., None], np.eye(4)), path)
    else:
        order: Any = "F" if kind.startswith("F") else "C"
        dtype = ">f4" if kind.startswith("big") else "<f4"
        np.savez(path, a=np.asarray(values[None], dtype, order=order))
    quick = read(path, **where).pixels
    monkeypatch.setattr("midclass.images.formats.read._is_unit_range", lambda _: False)
    assert quick.tobytes() == read(path, **where).pixels.tobytes()
    assert quick.flags.c_contiguous
    assert quick.flags.writeable


# --- npz ----------------------------------------------------------------------------------------


def test_who_alters_an_image_does_not_alter_what_is_read_next(tmp_path: Path) -> None:
    rows = np.linspace(0, 1, 2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
    np.savez(tmp_path / "x.npz", rows=rows)
    first = read(tmp_path / "x.npz", array="rows", index=0).pixels
    first[:] = 2
    assert np.array_equal(read(tmp_path / "x.npz", array="rows", index=0).pixels[0], rows[0])


def test_npz_rows_of_grey_colour_and_volume(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    grey = np.stack([RAMP, RAMP + 1])
    colour = np.zeros((1, 4, 5, 3), dtype=np.uint8)
    colour[..., 0] = 255
    volume = np.zeros((1, 6, 4, 5), dtype=np.uint8)
    np.savez(path, grey=grey, colour=colour, volume=volume)
    np.testing.assert_allclose(
        read(path, array="grey", index=1).pixels[0], (RAMP + 1) / 255, atol=1e-6
    )
    assert read(path, array="colour", index=0).pixels.shape == (3, 4, 5)
    assert read(path, array="volume", index=0, volume=True).pixels.shape == (1, 6, 4, 5)
    assert read(path, array="volume", index=0, frame=5).pixels.shape == (1, 4, 5)
    for arguments, message in [
        ({"array": "train", "index": 0}, "has no array 'train'; it has grey, colour, volume"),
        ({"index": 0}, "has no array None"),
        ({"array": "grey"}, "index None of grey, expected 0 to 1"),
        ({"array": "grey", "index": 2}, "index 2 of grey, expected 0 to 1"),
        ({"array": "grey", "index": 0, "volume": True}, "expected a volume"),
        ({"array": "volume", "index": 0}, "has 6 frames"),
    ]:
        with pytest.raises(InputError, match=message):
            read(path, **arguments)


# --- what is broken -----------------------------------------------------------------------------


def test_missing_folder_empty_and_foreign_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image at all")
    for name, message in [
        ("none.png", "no such file"),
        ("", "is a folder"),
        ("empty.png", "is empty"),
        ("text.png", "is none of PNG, JPEG"),
    ]:
        with pytest.raises(InputError, match=message) as caught:
            read(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "nii", "nii.gz", "npz"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_an_error(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    path = tmp_path / f"x.{suffix}"
    arguments: dict[str, Any] = {}
    if suffix.startswith("nii"):
        nibabel.save(nibabel.Nifti1Image(noise, np.eye(4)), path)
        arguments = {"frame": 0}
    elif suffix == "npz":
        np.savez_compressed(path, a=noise)
        arguments = {"array": "a", "index": 0}
    else:
        PIL.Image.fromarray(noise[..., 0]).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=r"x\."):
        read(path, **arguments)


@pytest.mark.parametrize("suffix", ["tif", "nii.gz"])
def test_nan_and_infinite_values_are_counted(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4)  # a range with nothing to do
    values[1, :2], values[2, 0] = np.nan, np.inf
    path = tmp_path / f"x.{suffix}"
    if suffix == "tif":
        PIL.Image.fromarray(values).save(path)
    else:
        path.write_bytes(
            gzip.compress(nibabel.Nifti1Image(values[..., None], np.eye(4)).to_bytes())
        )
    with pytest.raises(InputError, match="3 of 16 values are NaN or infinite"):
        read(path)


def test_arguments_that_do_not_fit_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    PIL.Image.fromarray(RAMP).save(path)
    for arguments, message in [
        ({"array": "train"}, "this is PNG, not npz"),
        ({"index": 3}, "this is PNG; use frame"),
        ({"frame": 1}, "frame 1 does not exist, the file has 1"),
        ({"volume": True}, "PNG holds no volume"),
        ({"window": (80.0, 0.0)}, "expected .low, high. with low < high"),
    ]:
        with pytest.raises(InputError, match=message):
            read(path, **arguments)
    assert read(path, frame=0).pixels.shape == (1, 3, 4)


def test_a_constant_image_is_read(tmp_path: Path) -> None:
    PIL.Image.new("F", (4, 4), 7.0).save(tmp_path / "x.tif")
    assert (read(tmp_path / "x.tif").pixels == 0).all()


@pytest.mark.parametrize("bits", [8, 16])
def test_a_window_in_hounsfield_units_leaves_a_picture_as_it_is(tmp_path: Path, bits: int) -> None:
    """Taken for grey values, [-1350, 150] would leave of a picture nothing but white."""
    values = np.linspace(0, 2**bits - 1, 64).round().astype(f"uint{bits}").reshape(8, 8)
    PIL.Image.fromarray(values).save(tmp_path / "a.png")
    plain = read(tmp_path / "a.png").pixels
    for window in ((-1350, 150), (-20, 100)):
        np.testing.assert_array_equal(read(tmp_path / "a.png", window=window).pixels, plain)
    half = read(tmp_path / "a.png", window=(0, 2 ** (bits - 1))).pixels
    assert half.mean() > 1.3 * plain.mean()  # a window in the picture's own values counts


def test_a_window_of_float_values_is_the_same_whatever_the_coldest_pixel(tmp_path: Path) -> None:
    """In degrees [20, 40]: one file was windowed and the next stretched by its own values."""
    found = []
    for coldest in (19.0, 20.0, 20.5, 25.0):
        values = np.array([[coldest, 34.0, 38.0, 45.0]] * 2, np.float32)
        PIL.Image.fromarray(values).save(tmp_path / "t.tif")
        found.append(read(tmp_path / "t.tif", window=(20, 40)).pixels[0, 0, 1:])
    np.testing.assert_allclose(found, [[0.7, 0.9, 1.0]] * 4, atol=1e-6)


def test_a_tiff_that_holds_hounsfield_units_is_windowed(tmp_path: Path) -> None:
    values = np.array([[-1000, -20, 40, 100, 900]] * 2, np.float32)
    PIL.Image.fromarray(values).save(tmp_path / "hu.tif")
    np.testing.assert_allclose(
        read(tmp_path / "hu.tif", window=(-20, 100)).pixels[0, 0], [0, 0, 0.5, 1, 1]
    )
