"""Damage to the bytes of one DICOM element: its tag, VR, length and value."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from fuzz.spoil import pick

VRS = (
    b"AE",
    b"AS",
    b"AT",
    b"CS",
    b"DA",
    b"DS",
    b"DT",
    b"FL",
    b"FD",
    b"IS",
    b"LO",
    b"LT",
    b"OB",
    b"OD",
    b"OF",
)
VRS += (
    b"OW",
    b"PN",
    b"SH",
    b"SL",
    b"SQ",
    b"SS",
    b"ST",
    b"TM",
    b"UI",
    b"UL",
    b"UN",
    b"US",
    b"UT",
    b"ZZ",
    b"\0\0",
)
LONG_VRS = (
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
    b"SV",
    b"UV",
)


def starts_of(data: bytes) -> list[tuple[int, int]]:
    """Where elements start, and how long their values are, in explicit VR little endian."""
    found, at = [], 132 if data[128:132] == b"DICM" else 0
    while at + 8 <= len(data) and len(found) < 500:
        vr = data[at + 4 : at + 6]
        if not vr.isalpha():
            break
        if vr in LONG_VRS:
            (size,) = struct.unpack("<I", data[at + 8 : at + 12].ljust(4, b"\0"))
            start = at + 12
        else:
            (size,) = struct.unpack("<H", data[at + 6 : at + 8])
            start = at + 8
        found.append((at, size))
        if size == 2**32 - 1:
            break
        at = start + size
    return found


def spoil_element(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    starts = starts_of(data)
    if not starts:
        return data[:-1], "cut"
    at, size = pick(rng, starts)
    tag = "({:04x},{:04x})".format(*struct.unpack("<HH", data[at : at + 4]))
    out = bytearray(data)
    long = data[at + 4 : at + 6] in LONG_VRS
    kind = int(rng.integers(7))
    if kind == 0:
        new = int(
            rng.choice([0, 1, 2, 3, max(0, size - 1), size + 1, size + 2, size * 2, 65534, 65535])
        )
        if long:
            new = (
                new if rng.random() < 0.5 else int(rng.choice([2**31, 2**32 - 2, 2**32 - 1, 10**8]))
            )
            out[at + 8 : at + 12] = struct.pack("<I", new)
        else:
            out[at + 6 : at + 8] = struct.pack("<H", min(new, 65535))
        return bytes(out), f"length of {tag} {new}"
    if kind == 1:
        vr = pick(rng, VRS)
        out[at + 4 : at + 6] = vr
        return bytes(out), f"VR of {tag} {vr!r}"
    if kind == 2:
        new = (
            rng.bytes(4),
            data[:4].ljust(4, b"\0"),
            b"\xfe\xff\x00\xe0",
            b"\xe0\x7f\x10\0",
            b"\x28\0\x10\0",
        )
        out[at : at + 4] = pick(rng, new)
        return bytes(out), f"tag {tag} changed"
    if kind == 3:
        end = at + (12 if long else 8) + (size if size < 2**32 - 1 else 0)
        return data[:end] + data[at:end] + data[end:], f"{tag} twice"
    if kind == 4:
        return data[: at + int(rng.integers(13))], f"cut in {tag}"
    if kind == 5:
        start = at + (12 if long else 8)
        value = rng.bytes(min(size, 64))
        out[start : start + len(value)] = value
        return bytes(out), f"value of {tag} random"
    start = 132 if data[128:132] == b"DICM" else 0
    ways = (data[start:], data[:start] + data[at:], zlib.compress(data), data[:128] + b"DICM")
    k = int(rng.integers(len(ways)))
    return ways[k], f"parts {k} of {tag}"
