"""Damage that knows NIfTI headers, npz archives and safetensors headers."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from functools import lru_cache
from typing import Any

import numpy as np

from fuzz.spoil import pick

ODD = (0.0, -1.0, 1e-6, 1e-30, 1e30, 3e38, float("nan"), float("inf"), float("-inf"))
COUNTS = (0, 1, -1, 2, 3, 255, 32767, -32768)
# Offset, format and number of the fields of NIfTI-1 and NIfTI-2 (nifti1.h, nifti2.h).
NIFTI_1 = {
    "dim": (40, "h", 8),
    "datatype": (70, "h", 1),
    "bitpix": (72, "h", 1),
    "pixdim": (76, "f", 8),
    "vox_offset": (108, "f", 1),
    "scl_slope": (112, "f", 1),
    "scl_inter": (116, "f", 1),
    "xyzt_units": (123, "b", 1),
    "cal_max": (124, "f", 1),
    "cal_min": (128, "f", 1),
    "qform_code": (252, "h", 1),
    "sform_code": (254, "h", 1),
    "quatern": (256, "f", 6),
    "srow": (280, "f", 12),
    "magic": (344, "b", 4),
    "extension": (348, "b", 4),
    "sizeof_hdr": (0, "i", 1),
}
NIFTI_2 = {
    "magic": (4, "b", 8),
    "datatype": (12, "h", 1),
    "bitpix": (14, "h", 1),
    "dim": (16, "q", 8),
    "pixdim": (104, "d", 8),
    "vox_offset": (168, "q", 1),
    "scl_slope": (176, "d", 1),
    "scl_inter": (184, "d", 1),
    "cal_max": (192, "d", 1),
    "cal_min": (200, "d", 1),
    "qform_code": (344, "i", 1),
    "sform_code": (348, "i", 1),
    "quatern": (352, "d", 6),
    "srow": (400, "d", 12),
    "xyzt_units": (500, "i", 1),
    "sizeof_hdr": (0, "i", 1),
    "extension": (540, "b", 4),
}


def spoil_nifti(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    packed = data[:2] == b"\x1f\x8b"
    out = bytearray(gzip.decompress(data) if packed else data)
    second = out[4:7] == b"n+2"
    order = ">" if (out[0] == 0 and out[3] != 0) else "<"
    fields = NIFTI_2 if second else NIFTI_1
    names = []
    for _ in range(1 if rng.random() < 0.7 else 2):
        name = list(fields)[int(rng.integers(len(fields)))]
        start, kind, number = fields[name]
        k = int(rng.integers(number))
        value: Any
        if kind in "fd":
            value = float(rng.choice(ODD))
        elif name == "datatype":
            value = int(
                rng.choice([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 768, 1024, 1536, 2304])
            )
        else:
            value = int(rng.choice(COUNTS))
            value = value % 128 if kind == "b" else value
            if kind == "q" and rng.random() < 0.3:
                value = pick(rng, (2**31, 2**40, 2**62, -(2**63)))
        size = struct.calcsize(kind)
        struct.pack_into(order + kind, out, start + k * size, value)
        names.append(f"{name}[{k}] {value:g}" if number > 1 else f"{name} {value:g}")
    made = bytes(out)
    if rng.random() < 0.1:
        made, more = made[: int(rng.integers(len(made)))], " cut"
        names.append(more)
    if packed:
        made = gzip.compress(made, 1, mtime=0)
        turn = rng.random()
        if turn < 0.1:
            made += _tail()
            names.append("long gzip tail")
        elif turn < 0.2:
            made = made[:-8] + rng.bytes(8)
            names.append("gzip sums")
    return made, ", ".join(names)


def _array(rng: np.random.Generator) -> tuple[bytes, str]:
    """An npy file with an odd header."""
    body = rng.integers(0, 255, 4 * 16 * 16, np.uint8).tobytes()
    shapes = ("(4, 16, 16)", "(4, 16)", "()", "(0, 16, 16)", "(4, 16, 16, 3)", "(1, 1, 1024)")
    shapes += ("(4, 16, -16)", "(4000000, 16, 16)", "(4, 0, 16)", "(2**40, 1, 1)", "(4, 16.0, 16)")
    shapes += ("(99999999999, 99999999999, 99999)", "[4, 16, 16]", "(True, 16, 16)")
    kinds = ("|u1", "|b1", "<u2", "<i2", "<f2", "<f4", "<f8", "<c8", "|O", "<U4", "|S4", "<M8[s]")
    kinds += (">i4", "<i8", "<u8", "|V4", "[('a', '<u1')]", "nonsense", "<f16")
    shape = pick(rng, shapes)
    kind = pick(rng, kinds)
    quoted = kind if kind.startswith("[") else repr(kind)
    order = pick(rng, ("False", "True", "7"))
    text = f"{{'descr': {quoted}, 'fortran_order': {order}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        text = "{" * int(rng.integers(1, 5000)) + text
    head = text.encode().ljust(118) + b"\n"
    version = (b"\1\0", b"\2\0", b"\3\0", b"\x09\0")[int(rng.choice(4, p=[0.85, 0.05, 0.05, 0.05]))]
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(head))
    return b"\x93NUMPY" + version + size + head + body, f"npy {kind} {shape}"


def _add(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a file of a time that is always the same."""
    file.writestr(zipfile.ZipInfo(name), data, file.compression)


def spoil_npz(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    kind = int(rng.integers(5))
    if kind == 4:  # fields of the local headers and of the directory
        out = bytearray(data)
        starts = [
            k for k in range(len(data) - 4) if data[k : k + 4] in (b"PK\1\2", b"PK\3\4", b"PK\5\6")
        ]
        start = pick(rng, starts)
        offset = int(rng.integers(4, 46))
        out[start + offset : start + offset + 1] = bytes(
            [int(rng.choice([0, 1, 8, 9, 12, 14, 99, 0xFF]))]
        )
        return bytes(out), f"zip {data[start + 2]}{data[start + 3]} byte {offset}"
    buffer = io.BytesIO()
    method = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    made, what = _array(rng)
    with zipfile.ZipFile(buffer, "w", method[int(rng.integers(4))]) as file:
        if kind == 0:
            _add(file, "images.npy", made)
        elif kind == 1:
            name = (
                "images",
                "../images.npy",
                "/images.npy",
                "im\nages.npy",
                "images.npy.npy",
                "x\x1b[31m",
            )
            picked = pick(rng, name)
            _add(file, picked, made)
            what += f" as {picked!r}"
        elif kind == 2 and rng.random() < 0.3:
            return _small_archive(), "150 MB in a small archive"
        else:
            _add(file, "images.npy", made)
            for number in range(int(rng.choice([1, 3, 2000]))):
                file.writestr(zipfile.ZipInfo(f"more{number}.npy"), b"", zipfile.ZIP_STORED)
            what += " among others"
    return buffer.getvalue(), what


def spoil_weights(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The length, the JSON header or the values of a safetensors file."""
    (size,) = struct.unpack("<Q", data[:8])
    about = json.loads(data[8 : 8 + size])
    body = bytearray(data[8 + size :])
    kind = int(rng.integers(7))
    names = [name for name in about if name != "__metadata__"]
    if kind == 0 or not names:
        new = pick(rng, (0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1, 10**8))
        return struct.pack("<Q", new) + data[8:], f"header of {new} bytes"
    name = pick(rng, names)
    one = about[name]
    if kind == 1:
        one["dtype"] = str(
            rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "X9", ""])
        )
        what = f"dtype of {name} {one['dtype']}"
    elif kind == 2:
        shapes: tuple[Any, ...] = (
            [],
            [0],
            [-1],
            [2**40, 2**40],
            one["shape"][::-1],
            [*one["shape"], 1],
        )
        shapes += ([1, *one["shape"]], "all", [1.5], None, [int(np.prod(one["shape"] or [1]))])
        one["shape"] = pick(rng, shapes)
        what = f"shape of {name} {one['shape']}"
    elif kind == 3:
        low, high = one["data_offsets"]
        offsets: tuple[Any, ...] = (
            [low, high + 4],
            [high, low],
            [0, 0],
            [-4, high],
            [low],
            [low, 2**60],
        )
        one["data_offsets"] = pick(rng, offsets)
        what = f"offsets of {name} {one['data_offsets']}"
    elif kind == 4:
        del about[name]
        what = f"{name} removed"
    elif kind == 5:
        about[name + "x"] = about.pop(name)
        what = f"{name} renamed"
    else:
        odd = struct.pack("<f", float(rng.choice(ODD)))
        low, high = one["data_offsets"]
        times = max(1, (high - low) // 4) if rng.random() < 0.3 else 1
        at = low if times > 1 else low + 4 * int(rng.integers(max(1, (high - low) // 4)))
        body[at : at + 4 * times] = odd * times
        what = f"{times} values of {name} {struct.unpack('<f', odd)[0]:g}"
    head = json.dumps(about).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + bytes(body), what


@lru_cache(maxsize=1)
def _tail() -> bytes:
    return gzip.compress(bytes(60_000_000), 6, mtime=0)


@lru_cache(maxsize=1)
def _small_archive() -> bytes:
    """150 MB of pixels in 150 KB."""
    head, out = io.BytesIO(), io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (600, 500, 500)}
    np.lib.format.write_array_header_1_0(head, about)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        _add(file, "images.npy", head.getvalue() + bytes(150_000_000))
    return out.getvalue()
