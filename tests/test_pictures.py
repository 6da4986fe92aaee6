"""Pictures written by hand in every layout: the pixels that were meant, or a clear word."""

from __future__ import annotations

import io
import itertools
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from midclass import InputError
from midclass.images.formats.read import Image, decode, read

Values = NDArray[Any]
UNSIGNED, SIGNED, FLOAT = 1, 2, 3  # SampleFormat


def read_bytes(data: bytes, suffix: str, **arguments: Any) -> Image:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x.{suffix}"
        path.write_bytes(data)
        return read(path, **arguments)


def test_a_tiff_that_was_replaced_is_read_anew_whatever_its_time(tmp_path: Path) -> None:
    path, pages = tmp_path / "x.tif", [values_of("grey 8", (7, 5), k) for k in range(3)]
    path.write_bytes(tiff(*pages[:2]))
    read(path, frame=1)
    time = path.stat().st_mtime_ns
    path.write_bytes(tiff(*pages))
    os.utime(path, ns=(time, time))
    np.testing.assert_allclose(read(path, frame=2).pixels[0], pages[2] / 255, atol=1e-6)


# --- TIFF ---------------------------------------------------------------------------------------


def encoded(part: Values, order: str, bits: int, predictor: bool) -> bytes:
    """Rows ``(rows, cols, samples)`` as TIFF 6.0 packs them."""
    if predictor:
        part = np.concatenate([part[:, :1], np.diff(part, axis=1)], axis=1).astype(part.dtype)
    if bits != 12:
        return part.astype(part.dtype.newbyteorder(order)).tobytes()
    rows = part.reshape(len(part), -1).astype(np.uint32)
    rows = np.pad(rows, ((0, 0), (0, rows.shape[1] % 2)))
    a, b = rows[:, ::2], rows[:, 1::2]
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1).astype(np.uint8)
    return packed.reshape(len(part), -1)[:, : (part.shape[1] * 12 + 7) // 8].tobytes()


def tiff_page(
    values: Values,
    start: int,
    *,
    order: str = "<",
    bits: int | None = None,
    sample_format: int = UNSIGNED,
    white_is_zero: bool = False,
    planar: bool = False,
    tile: int = 0,
    rows_per_strip: int = 5,
    deflate: bool = False,
    predictor: bool = False,
    orientation: int | None = None,
    last: bool = True,
) -> bytes:
    """One page, its data and then its directory, that begins at a byte of the file."""
    height, width = values.shape[:2]
    bits = bits or 8 * values.itemsize
    grid = values.reshape(height, width, -1)
    samples = grid.shape[2]
    if white_is_zero:
        grid = (2**bits - 1 - grid.astype(np.int64)).astype(values.dtype)
    planes = [grid[..., k : k + 1] for k in range(samples)] if planar else [grid]
    high, wide = (tile, tile) if tile else (rows_per_strip, width)
    data, offsets, counts = b"", [], []
    for plane, top, left in itertools.product(
        planes, range(0, height, high), range(0, width, wide)
    ):
        part = plane[top : top + high, left : left + wide]
        if tile:
            part = np.pad(part, ((0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)))
        piece = encoded(part, order, bits, predictor)
        piece = zlib.compress(piece) if deflate else piece
        offsets.append(start + len(data))
        counts.append(len(piece))
        data += piece + bytes(len(piece) % 2)
    tags = {
        256: [width],
        257: [height],
        258: [bits] * samples,
        259: [8 if deflate else 1],
        262: [2 if samples == 3 else 0 if white_is_zero else 1],
        277: [samples],
        284: [2 if planar else 1],
        339: [sample_format] * samples,
        **({322: [tile], 323: [tile], 324: offsets, 325: counts} if tile else {}),
        **({} if tile else {273: offsets, 278: [high], 279: counts}),
        **({317: [2]} if predictor else {}),
        **({274: [orientation]} if orientation else {}),
    }
    entries = b""
    for tag in sorted(tags):
        numbers = tags[tag]
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            packed, data = struct.pack(f"{order}I", start + len(data)), data + packed
        entries += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + packed
    directory = struct.pack(f"{order}H", len(tags)) + entries
    following = 0 if last else start + len(data) + len(directory) + 4
    return data + directory + struct.pack(f"{order}I", following)


def tiff(*pages: Values, order: str = "<", **layout: Any) -> bytes:
    """A file of these pages; each page's directory lies at its end."""
    out, links = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4), [4]
    for page in pages:
        made = tiff_page(page, len(out), order=order, **layout)
        at = _directory_of(made, order) + len(out)
        out = out[: links[-1]] + struct.pack(f"{order}I", at) + out[links[-1] + 4 :]
        out += made
        links.append(len(out) - 4)
    return out


def _directory_of(page: bytes, order: str) -> int:
    """Where the directory of a page begins: as many entries before its end as it says."""
    for entries in range(8, 20):
        at = len(page) - 4 - 12 * entries - 2
        if at >= 0 and struct.unpack_from(f"{order}HH", page, at) == (entries, 256):
            return at
    raise AssertionError("no directory")


def meant(values: Values, bits: int, sample_format: int) -> Values:
    """``(c, rows, cols)`` in [0, 1]."""
    exact = values.astype(np.float64)
    low, high = {
        UNSIGNED: (0.0, 2.0**bits - 1),
        SIGNED: (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1),
        FLOAT: (exact.min(), exact.max()),
    }[sample_format]
    pixels = (exact - low) / (high - low)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


KINDS = {
    "grey 8": (np.uint8, 8, UNSIGNED, 0),
    "grey 12": (np.uint16, 12, UNSIGNED, 0),
    "grey 16": (np.uint16, 16, UNSIGNED, 0),
    "signed 8": (np.int8, 8, SIGNED, 0),
    "signed 16": (np.int16, 16, SIGNED, 0),
    "signed 32": (np.int32, 32, SIGNED, 0),
    "unsigned 32": (np.uint32, 32, UNSIGNED, 0),
    "float 32": (np.float32, 32, FLOAT, 0),
    "RGB 8": (np.uint8, 8, UNSIGNED, 3),
    "RGB 16": (np.uint16, 16, UNSIGNED, 3),
}


def values_of(kind: str, shape: tuple[int, int], seed: int) -> Values:
    dtype, bits, sample_format, colours = KINDS[kind]
    whole = (*shape, colours) if colours else shape
    rng = np.random.default_rng(seed)
    if sample_format == FLOAT:
        return rng.normal(0, 100, whole).astype(dtype)
    low = -(2 ** (bits - 1)) if sample_format == SIGNED else 0
    return rng.integers(low, low + 2**bits, whole).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    shape=st.tuples(st.integers(1, 40), st.integers(2, 40)),
    seed=st.integers(0, 99),
    layout=st.fixed_dictionaries(
        {
            "order": st.sampled_from("<>"),
            "white_is_zero": st.booleans(),
            "planar": st.booleans(),
            "tile": st.sampled_from([0, 16]),
            "rows_per_strip": st.integers(1, 50),
            "deflate": st.booleans(),
            "predictor": st.booleans(),
            "orientation": st.sampled_from([None, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        }
    ),
)
def test_a_tiff_of_any_layout_is_read_as_it_was_meant_or_refused(
    kind: str, shape: tuple[int, int], seed: int, layout: dict[str, Any]
) -> None:
    _, bits, sample_format, colours = KINDS[kind]
    values = values_of(kind, shape, seed)
    if colours or sample_format != UNSIGNED:
        layout["white_is_zero"] = False
    if sample_format == FLOAT:
        values.flat[0] += 1  # not one value only
    if not layout["deflate"] or bits == 12 or sample_format == FLOAT:
        layout["predictor"] = False
    data = tiff(values, bits=bits, sample_format=sample_format, **layout)
    try:
        pixels = read_bytes(data, "tif").pixels
    except InputError:
        common = layout["order"] == "<" and bits in (8, 16) and sample_format == UNSIGNED
        common = common and (kind, layout["planar"]) != ("RGB 16", True)
        assert not common, (kind, layout)
        return
    expected = meant(values, bits, sample_format)
    assert pixels.shape == expected.shape
    # Colour of 16 bits is read with 8.
    np.testing.assert_allclose(pixels, expected, atol=1 / 254 if kind == "RGB 16" else 1e-5)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_stored_rows_count_in_every_picture_whatever_its_orientation_tag(
    tmp_path: Path, orientation: int, dtype: type, compression: str | None
) -> None:
    """A TIFF, a PNG and a JPEG of one image agree, also where it is not square."""
    ramp = (np.arange(6 * 9).reshape(6, 9) * (255 // 54)).astype(np.uint8)
    values = ramp.astype(dtype) * (257 if dtype is np.uint16 else 1)
    tags: dict[int, Any] = {700: b'<x tiff:Orientation="3"/>'}
    tags |= {274: orientation} if orientation > 1 else {}
    PIL.Image.fromarray(values).save(tmp_path / "a.tif", compression=compression, tiffinfo=tags)
    found = read(tmp_path / "a.tif").pixels[0]
    np.testing.assert_allclose(found, ramp / found_range(dtype, ramp), atol=1e-6)
    np.testing.assert_array_equal(decode(tmp_path / "a.tif"), values)
    exif = PIL.Image.Exif()
    exif[274] = orientation
    PIL.Image.fromarray(ramp).save(tmp_path / "a.png", exif=exif)
    PIL.Image.fromarray(ramp).save(tmp_path / "a.jpg", exif=exif, quality=100)
    np.testing.assert_allclose(read(tmp_path / "a.png").pixels[0], ramp / 255, atol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "a.jpg").pixels[0], ramp / 255, atol=0.02)


def found_range(dtype: type, ramp: Values) -> float:
    return float(ramp.max()) if dtype is np.float32 else 255.0


@pytest.mark.parametrize("order", ["<", ">"])
def test_each_page_of_a_tiff_is_read_with_its_own_size_and_depth(
    tmp_path: Path, order: str
) -> None:
    pages = [values_of("grey 8", (7, 5), 0), values_of("grey 8", (3, 11), 1)]
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(*pages, order=order))
    with pytest.raises(InputError, match="has 2 frames; name one"):
        read(path)
    for k, page in enumerate(pages):
        np.testing.assert_allclose(read(path, frame=k).pixels[0], page / 255, atol=1e-6)
    with pytest.raises(InputError, match="frame 2 does not exist"):
        read(path, frame=2)


def test_a_tiff_with_a_page_that_points_outside_the_file_or_back_is_read_or_refused(
    tmp_path: Path,
) -> None:
    page = values_of("grey 8", (4, 4), 0)
    data = tiff(page)
    (tmp_path / "out.tif").write_bytes(data[:-4] + struct.pack("<I", 2**31))
    with pytest.raises(InputError, match=r"cut off or damaged: page 1 should begin"):
        read(tmp_path / "out.tif")
    (first,) = struct.unpack_from("<I", data, 4)
    (tmp_path / "ring.tif").write_bytes(data[:-4] + struct.pack("<I", first))
    np.testing.assert_allclose(read(tmp_path / "ring.tif").pixels[0], page / 255, atol=1e-6)


def test_colours_of_a_kind_that_is_not_shown_as_rgb_are_refused(tmp_path: Path) -> None:
    PIL.Image.new("LAB", (4, 4), (50, 10, 10)).save(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"L\*a\*b"):
        read(tmp_path / "x.tif")


def test_a_tiff_that_is_damaged_says_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = io.BytesIO()
    PIL.Image.fromarray(values_of("grey 8", (40, 40), 0)).save(
        stored, "TIFF", compression="tiff_adobe_deflate"
    )
    data = bytearray(stored.getvalue())
    data[20:60] = bytes(40)
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(InputError, match=r"x\.tif"):
        read(tmp_path / "x.tif")
    assert capfd.readouterr() == ("", "")


# --- PNG ----------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    samples: Values,
    depth: int,
    colour: int,
    extra: bytes = b"",
    size: tuple[int, int] | None = None,
) -> bytes:
    """Samples ``(rows, cols, n)`` of any depth, with further chunks before the pixels."""
    height, width = size or samples.shape[:2]
    bits = (samples.reshape(len(samples), -1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(lines))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(
        [*((d, 0) for d in (1, 2, 4, 8, 16)), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)]
    ),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    key=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_png_of_any_depth_is_read_as_it_was_meant_or_refused(
    kind: tuple[int, int], shape: tuple[int, int], key: bool, seed: int
) -> None:
    """With alpha laid over black, and the one transparent colour black."""
    depth, colour = kind
    count = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    samples = np.random.default_rng(seed).integers(0, 2**depth, (*shape, count))
    hidden = np.zeros(shape, bool)
    extra = b""
    if key and colour in (0, 2):
        hidden = (samples == samples[0, 0]).all(axis=-1)
        extra = chunk(b"tRNS", struct.pack(f">{count}H", *samples[0, 0]))
    try:
        pixels = read_bytes(png(samples, depth, colour, extra), "png").pixels
    except InputError:
        assert (depth, colour, key) == (16, 2, True)
        return
    unit = samples / (2**depth - 1)
    expected = unit[..., : 1 if colour in (0, 4) else 3]
    expected = expected * (unit[..., -1:] if colour in (4, 6) else 1)
    expected[hidden] = 0
    assert pixels.shape == np.moveaxis(expected, -1, 0).shape
    lost = 2 / 255 if depth == 16 and colour != 0 else 1e-6  # colour of 16 bits is read with 8
    np.testing.assert_allclose(pixels, np.moveaxis(expected, -1, 0), atol=lost)


def test_text_and_profiles_of_a_png_are_not_unpacked(tmp_path: Path) -> None:
    """Each unpacks to a thousand times its size; a long text is no reason to refuse an image."""
    bomb = zlib.compress(bytes(50_000_000), 9)
    texts = [chunk(name, b"a\0\0" + bomb) for name in (b"zTXt", b"iCCP")] * 20
    samples = np.arange(16).reshape(4, 4, 1) * 16
    (tmp_path / "x.png").write_bytes(png(samples, 8, 0, b"".join(texts)))
    np.testing.assert_allclose(read(tmp_path / "x.png").pixels[0], samples[..., 0] / 255, atol=1e-6)


# --- JPEG ---------------------------------------------------------------------------------------


def test_a_jpeg_that_promises_more_pixels_than_its_bytes_can_hold_is_refused(
    tmp_path: Path,
) -> None:
    """Pillow fills what is missing with grey, without a word."""
    stored = io.BytesIO()
    PIL.Image.new("L", (16, 16), 90).save(stored, "JPEG")
    data = bytearray(stored.getvalue())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 9000, 9000)
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(InputError, match="9000 x 9000 pixels take 158203 bytes at least"):
        read(tmp_path / "x.jpg")


def test_a_jpeg_of_thousands_of_scans_is_refused(tmp_path: Path) -> None:
    stored = io.BytesIO()
    PIL.Image.new("L", (64, 64), 90).save(stored, "JPEG", progressive=True)
    data = stored.getvalue()
    scan = data[data.rindex(b"\xff\xda") : -2]
    (tmp_path / "x.jpg").write_bytes(data[:-2] + scan * 600 + data[-2:])
    with pytest.raises(InputError, match=r"a JPEG of \d+ scans"):
        read(tmp_path / "x.jpg")
