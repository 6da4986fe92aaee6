"""Files that promise more than they hold, or more than there is memory for: told by the header."""

from __future__ import annotations

import gzip
import io
import os
import resource
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import PIL.Image
import pytest

import makers
import midclass
from midclass import Case, Cohort, InputError, prepare
from midclass.images import sample
from midclass.images.formats.holding import images_in
from midclass.images.formats.limits import VARIABLE, check_spacing, gunzipped_head
from midclass.images.formats.read import file_format, read
from midclass.images.identity import content_if_readable

ZEROS = 1 << 20


def packed_zeros(count: int) -> bytes:
    stream = zlib.compressobj(9)
    blocks = [stream.compress(bytes(ZEROS)) for _ in range(count // ZEROS)]
    return b"".join([*blocks, stream.compress(bytes(count % ZEROS)), stream.flush()])


def png_of_zeros(height: int, width: int, depth: int = 8, *, data: bool = True) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    body = chunk(b"IDAT", packed_zeros(height * (1 + width * depth // 8) if data else 99))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def nifti_head(shape: tuple[int, ...], dtype: type, **fields: Any) -> bytes:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(dtype)
    header.set_data_shape(shape)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    for name, value in fields.items():
        header[name] = value
    return bytes(header.binaryblock) + bytes(4)


def npz_claiming(path: Path, shape: tuple[int, ...], data: bytes, dtype: str = "|u1") -> Path:
    file = io.BytesIO()
    head = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", file.getvalue() + data)
    return path


# --- one limit for all formats ------------------------------------------------------------------


@pytest.fixture
def one_megapixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1")


def too_large(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """A whole and honest file of 1.21 megapixels."""
    path, pixels = folder / name, np.zeros((1100, 1100), np.uint8)
    if name.endswith(".npz"):
        return npz_claiming(path, (1, 1100, 1100), pixels.tobytes()), {"array": "a", "index": 0}
    if ".nii" in name:
        data = nifti_head((1100, 1100, 1), np.uint8) + pixels.tobytes()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
        return path, {"frame": 0}
    PIL.Image.fromarray(pixels).save(path)
    return path, {}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.nii", "a.nii.gz", "a.npz"])
def test_what_is_above_the_limit_is_refused_with_the_way_out_and_read_after_it(
    tmp_path: Path, name: str, one_megapixel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, arguments = too_large(tmp_path, name)
    with pytest.raises(InputError, match=r"the limit is 1; .* set MIDCLASS_MAX_MEGAPIXELS=3") as no:
        read(path, **arguments)
    assert str(path) in str(no.value)
    monkeypatch.setenv(VARIABLE, "3")
    assert read(path, **arguments).pixels.shape == (1, 1100, 1100)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "many"])
def test_a_limit_that_is_no_number_above_0_is_an_error_that_names_it(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = too_large(tmp_path, "a.png")
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(InputError, match=f"MIDCLASS_MAX_MEGAPIXELS is '{text}'"):
        read(path)


def test_the_limit_of_pillow_and_its_warning_are_left_as_they_were(tmp_path: Path) -> None:
    before = PIL.Image.MAX_IMAGE_PIXELS
    path, _ = too_large(tmp_path, "a.png")
    read(path)
    with pytest.raises(InputError):
        read(tmp_path / "none.png")
    assert before == PIL.Image.MAX_IMAGE_PIXELS


READ = """
import resource, sys, warnings
warnings.simplefilter("error")
from midclass.images.formats.read import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = read(sys.argv[1]).pixels
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) * 1024 / pixels[0].size)
"""


@pytest.mark.slow
@pytest.mark.parametrize("depth", [pytest.param(8, marks=pytest.mark.thorough), 16])
def test_a_png_of_100_megapixels_is_read_with_8_bytes_a_pixel(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.png").write_bytes(png_of_zeros(10_000, 10_000, depth))
    own = {"PYTHONPATH": str(Path(midclass.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "a.png")],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert float(done.stdout) < 8.5


# --- bombs --------------------------------------------------------------------------------------


@pytest.fixture
def little_memory() -> Any:
    """400 MB more than now, so that what takes more is seen."""
    now = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 400 * 2**20, now[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, now)


def bombs(folder: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Small files, each of which promises or unpacks to gigabytes, and what is said of it."""
    made: dict[str, tuple[Path, dict[str, Any]]] = {}

    def put(said: str, name: str, data: bytes, **arguments: Any) -> None:
        (folder / name).write_bytes(data)
        made[said] = (folder / name, arguments)

    put("3600 megapixels", "a.png", png_of_zeros(60000, 60000, data=False))
    shape = (2000, 2000, 1500)
    put("6000 megapixels", "a.nii.gz", gzip.compress(nifti_head(shape, np.int16)), frame=0)
    head = nifti_head((4, 4, 4), np.int16)
    put("unpacks to more than", "b.nii.gz", gzip.compress(head + bytes(50 << 20)), frame=0)
    put("bytes are missing", "c.nii", nifti_head(shape, np.int16) + bytes(99), frame=0)
    put("bytes are missing of its", "d.nii.gz", gzip.compress(head + bytes(9)), frame=0)
    row = {"array": "a", "index": 0}
    made["1e+06 megapixels"] = npz_claiming(folder / "a.npz", (10**6, 1000, 1000), b"\0"), row
    made["is truncated: 9 of"] = npz_claiming(folder / "b.npz", (9, 1000, 1000), bytes(9)), row
    longer = npz_claiming(folder / "c.npz", (1, 9, 9), bytes(90 << 20))
    made["longer than its header says"] = longer, row
    return made


def test_a_bomb_is_refused_by_its_header_in_little_memory(
    tmp_path: Path, little_memory: None
) -> None:
    for said, (path, arguments) in bombs(tmp_path).items():
        with pytest.raises(InputError, match=said.replace("+", r"\+")) as caught:
            read(path, **arguments)
        assert str(path) in str(caught.value)


def test_a_zip_whose_directory_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    path = npz_claiming(tmp_path / "a.npz", (2, 30, 30), bytes(1800))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24  # the size, unpacked
    struct.pack_into("<I", data, at, 500)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npz"):
        read(path, array="a", index=0)


def test_a_packed_nifti_with_one_bit_changed_is_told_by_its_checksum(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 99, (20, 20, 9), np.uint8)
    data = bytearray(gzip.compress(nifti_head((20, 20, 9), np.uint8) + values.tobytes(), 0))
    data[900] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(InputError, match="truncated or damaged"):
        read(tmp_path / "a.nii.gz", frame=0)


@pytest.mark.parametrize("member", [b"", bytes(128) + b"DICM"])
def test_a_name_of_megabytes_in_a_gzip_header_is_not_read_byte_by_byte(
    tmp_path: Path, member: bytes
) -> None:
    head, name = b"\x1f\x8b\x08\x08" + bytes(6), b"a" * (20 << 20)
    (tmp_path / "a.dcm.gz").write_bytes(head + name + b"\0" + gzip.compress(member)[10:])
    start = time.process_time()
    with pytest.raises(InputError, match=r"a\.dcm\.gz"):
        read(tmp_path / "a.dcm.gz")
    assert images_in(tmp_path / "a.dcm.gz") == 1
    assert time.process_time() - start < 3


@pytest.mark.parametrize("size", [1, 300, 200_000])
def test_the_head_of_a_packed_file_is_as_long_as_was_asked_for(size: int) -> None:
    data = np.random.default_rng(0).bytes(200_001)
    packed = gzip.compress(data)
    assert gunzipped_head(packed, size) == data[:size]
    assert gunzipped_head(packed, 300_000) == data
    with pytest.raises(EOFError):
        gunzipped_head(packed[:-9], 300_000)


def test_a_tiff_of_100_000_pages_is_read_quickly(tmp_path: Path) -> None:
    tags = [(256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (279, 16)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    size, count = 2 + len(entries) + 4, 100_000
    head = b"II*\0" + struct.pack("<I", 24) + bytes(range(16))
    pages = (
        struct.pack("<H", len(tags)) + entries + struct.pack("<I", 24 + size * page)
        for page in range(1, count)
    )
    last = struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "a.tif").write_bytes(head + b"".join(pages) + last)
    start = time.process_time()
    pixels = read(tmp_path / "a.tif", frame=count - 1).pixels
    with pytest.raises(InputError, match="has 100000 frames"):
        read(tmp_path / "a.tif")
    assert time.process_time() - start < 3
    np.testing.assert_allclose(pixels.ravel(), np.arange(16) / 255, atol=1e-6)


# --- what is no file ----------------------------------------------------------------------------


def test_pipes_sockets_devices_and_links_in_a_ring_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "ring.png").symlink_to("ring.png")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket.png"))
    said = {"pipe": "named pipe", "zero": "device", "socket": "socket", "ring": "links"}
    for name, word in said.items():
        path = tmp_path / f"{name}.png"
        for look in (read, file_format):
            with pytest.raises(InputError, match=word) as caught:
                look(path)
            assert str(path) in str(caught.value)
        assert content_if_readable(Case("a", path, 0, "a")) == ""


def test_a_file_that_is_larger_than_any_image_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        file.truncate(10**12)
    with pytest.raises(InputError, match=r"a file of 1e\+03 GB, the limit is 2\.4"):
        read(tmp_path / "a.png")


# --- spacings and long thin images --------------------------------------------------------------


@pytest.mark.parametrize("spacing", [1e-6, 0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_a_spacing_that_cannot_be_is_named(tmp_path: Path, spacing: float) -> None:
    with pytest.raises(InputError, match=r"a spacing of .* mm, expected 0\.0002 to 100"):
        check_spacing((1.0, spacing))
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    PIL.Image.fromarray(ramp).save(tmp_path / "a.png")
    one = Case("a", tmp_path / "a.png", 0, "a", spacing_mm=(1.0, spacing))
    with pytest.raises(InputError, match=r"a\.png: a spacing of"):
        prepare(Cohort((one,)), makers.recipe(), cache=tmp_path / "cache")


@pytest.mark.parametrize("shape", [(8, 60000), (60000, 8)])
def test_a_long_thin_image_does_not_become_a_square_of_its_length(
    shape: tuple[int, int], little_memory: None
) -> None:
    values = np.zeros((1, *shape), np.float32)
    values[:, shape[0] // 2 :, shape[1] // 2 :] = 1
    box = sample.fit_box((0, 0, *shape), (64, 64), (1.0, 1.0))
    seen = sample._resampled(values, box, (64, 64), mode="edge")
    assert seen.shape == (1, 64, 64)
    assert seen[0, 60, 60] == 1
    assert seen[0, 3, 3] == 0


def test_both_ways_to_resample_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for mode in ("edge", "constant"):
        for _ in range(100):
            values = rng.random((2, *rng.integers(8, 60, 2)), np.float32)
            top, left = rng.uniform(-40, 4, 2)
            box = (top, left, *(rng.uniform(20, 100, 2)))
            whole = sample._resampled(values, box, (20, 30), mode)
            with monkeypatch.context() as patch:
                patch.setattr(sample, "PADDED", 0)
                parts = sample._resampled(values, box, (20, 30), mode)
            np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_a_box_far_larger_than_the_image_is_refused_with_its_size() -> None:
    values = np.zeros((1, 20, 20), np.float32)
    for far in (1e9, float("inf")):
        with pytest.raises(InputError, match="pixels, of which the image has 20 x 20"):
            sample._resampled(values, (-far, -far, far, far), (64, 64), mode="edge")


def test_a_damaged_picture_leaves_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = io.BytesIO()
    PIL.Image.new("P", (20, 20)).save(stored, "PNG", transparency=b"\1\2\3")
    (tmp_path / "a.png").write_bytes(stored.getvalue())
    read(tmp_path / "a.png")
    head = nifti_head((4, 4, 4), np.uint8, qform_code=99, pixdim=[0, -1, 0, 1, 1, 1, 1, 1])
    (tmp_path / "a.nii").write_bytes(head + bytes(64))
    with pytest.raises(InputError, match=r"a\.nii"):
        read(tmp_path / "a.nii", frame=9)
    assert capfd.readouterr() == ("", "")
