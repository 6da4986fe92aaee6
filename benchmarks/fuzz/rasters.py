"""Damage that knows PNG, JPEG and TIFF: chunks with right sums, segments, tags."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from fuzz.spoil import pick

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDES = (0, 1, 2, 3, 31, 33, 4096, 30_000, 65_535, 65_536, 2**31 - 1, 2**32 - 1)
LONG = bytes(20_000_000)


def chunks_of(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], len(SIGNATURE)
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png_of(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    out = [SIGNATURE]
    for name, body in chunks:
        sums = struct.pack(">I", zlib.crc32(name + body))
        out.append(struct.pack(">I", len(body)) + name + body + sums)
    return b"".join(out)


EXTRA = {
    b"tRNS": (b"", b"\0", b"\0\1", b"\xff" * 300),
    b"PLTE": (b"", b"\0\0\0", b"\1" * 767, b"\2" * 768, b"\3" * 771),
    b"gAMA": (b"", b"\0\0\0\0", b"\xff" * 4),
    b"pHYs": (b"", b"\0" * 9, b"\xff" * 9),
    b"tEXt": (b"Patient\0Fuzzington", b"no end", b"", b"a\0" + b"x" * 2_000_000),
    b"zTXt": (b"a\0\0" + zlib.compress(LONG), b"a\0\7x", b""),
    b"iTXt": (b"a\0\1\0\0\0" + zlib.compress(LONG), b"\0\0\0", b""),
    b"iCCP": (b"a\0\0" + zlib.compress(LONG), b"a\0", b"", b"a\0\0junk"),
    b"eXIf": (b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", b"", b"MM", b"II*\0\xff"),
    b"acTL": (struct.pack(">II", 3, 0), struct.pack(">II", 2**31, 0), b""),
    b"fcTL": (struct.pack(">IIIIIHHBB", 0, 9, 9, 9, 9, 0, 0, 9, 9), b""),
    b"ABCD": (b"", b"critical and unknown"),
}


def spoil_png(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    chunks = chunks_of(data)
    kind = int(rng.integers(7))
    k = int(rng.integers(len(chunks)))
    name, body = chunks[k]
    if kind <= 1:
        head = list(struct.unpack(">IIBBBBB", chunks[0][1]))
        field = int(rng.integers(7))
        choices = SIDES if field < 2 else (0, 1, 2, 3, 4, 6, 7, 8, 16, 32, 255)
        head[field] = int(rng.choice(choices))
        chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *head))
        what = f"IHDR {('width', 'height', 'bits', 'colour', 'method', 'filter', 'lace')[field]}"
        what += f" {head[field]}"
    elif kind == 2:
        extra = list(EXTRA)[int(rng.integers(len(EXTRA)))]
        values = EXTRA[extra]
        chunks.insert(int(rng.integers(1, len(chunks))), (extra, pick(rng, values)))
        what = f"chunk {extra.decode()} added"
    elif kind == 3:
        del chunks[k]
        what = f"chunk {name.decode()} removed"
    elif kind == 4:
        other = int(rng.integers(len(chunks)))
        chunks[k], chunks[other] = chunks[other], chunks[k]
        what = f"chunk {name.decode()} moved"
    elif kind == 5:
        pixels = zlib.decompress(b"".join(b for n, b in chunks if n == b"IDAT"))
        changes = (
            pixels[:-1],
            pixels[: len(pixels) // 2],
            pixels + pixels,
            b"",
            b"\7" + pixels[1:],
        )
        changes += (rng.bytes(len(pixels)), pixels + LONG)
        made = pick(rng, changes)
        kept = [c for c in chunks if c[0] not in (b"IDAT", b"IEND")]
        chunks = [*kept, (b"IDAT", zlib.compress(made)), (b"IEND", b"")]
        what = f"pixels of {len(made)} bytes for {len(pixels)}"
    else:
        body = body[: int(rng.integers(len(body) + 1))] if body else rng.bytes(5)
        chunks[k] = (name, body)
        what = f"chunk {name.decode()} cut"
    return png_of(chunks), what


def segments_of(data: bytes) -> list[tuple[int, int, int]]:
    """Marker, start and end of the segments of a JPEG file before its scan."""
    found, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        (size,) = struct.unpack(">H", data[at + 2 : at + 4])
        found.append((data[at + 1], at, at + 2 + size))
        if data[at + 1] == 0xDA:
            break
        at += 2 + size
    return found


def spoil_jpeg(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    segments = segments_of(data)
    marker, start, end = pick(rng, segments)
    kind = int(rng.integers(6))
    out = bytearray(data)
    if kind == 0:
        at = next(s for m, s, _ in segments if m in (0xC0, 0xC1, 0xC2))
        field = int(rng.integers(2))
        side = int(rng.choice([s for s in SIDES if s < 65_536]))
        out[at + 5 + 2 * field : at + 7 + 2 * field] = struct.pack(">H", side)
        what = f"SOF {('height', 'width')[field]} {side}"
    elif kind == 1:
        at = next(s for m, s, _ in segments if m in (0xC0, 0xC1, 0xC2))
        offset = int(rng.choice([1, 4, 9, 10, 11, 12]))
        out[min(at + offset, len(out) - 1)] = int(
            rng.choice([0, 1, 2, 3, 4, 8, 12, 0x11, 0x44, 0xFF, 0xC9])
        )
        what = f"SOF byte {offset}"
    elif kind == 2:
        out[start + 2 : start + 4] = struct.pack(
            ">H", int(rng.choice([0, 1, 2, 3, 60_000, 65_535]))
        )
        what = f"segment {marker:02X} length"
    elif kind == 3:
        del out[start:end]
        what = f"segment {marker:02X} removed"
    elif kind == 4:
        extra = (
            b"\xff\xfe\x00\x14Fuzzington Patient",
            b"\xff\xdd\x00\x04\x00\x01",
            b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",
            b"\xff\xe1\x00\x0eExif\0\0II*\0\xff\xff",
            b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\2",
            b"\xff\xe2\x00\x10ICC_PROFILE\0\1\2",
            b"\xff\xe2\x00\x58MPF\0" + b"II*\0\x08\0\0\0\3\0" + b"\xff" * 72,
        )
        out[2:2] = pick(rng, extra)
        what = "segment added"
    else:
        at = int(rng.integers(start + 4, max(start + 5, end)))
        out[min(at, len(out) - 1)] = int(rng.integers(256))
        what = f"segment {marker:02X} byte"
    return bytes(out), what


TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 282, 284, 317, 320, 322, 323)
TAGS += (324, 325, 330, 338, 339, 340, 341, 347, 530, 34665, 34675, 700, 33550)


def spoil_tiff(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    order = "<" if data[:2] == b"II" else ">"
    (ifd,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[ifd : ifd + 2])
    out = bytearray(data)
    k = int(rng.integers(count))
    at = ifd + 2 + 12 * k
    (tag,) = struct.unpack(order + "H", data[at : at + 2])
    kind = int(rng.integers(7))
    if kind == 0:
        new = int(rng.choice(TAGS))
        out[at : at + 2] = struct.pack(order + "H", new)
        what = f"tag {tag} as {new}"
    elif kind == 1:
        new = int(rng.choice([0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 16, 99]))
        out[at + 2 : at + 4] = struct.pack(order + "H", new)
        what = f"type of tag {tag} {new}"
    elif kind == 2:
        new = int(rng.choice([0, 2, 3, 1000, 65_536, 2**28, 2**31, 2**32 - 1]))
        out[at + 4 : at + 8] = struct.pack(order + "I", new)
        what = f"count of tag {tag} {new}"
    elif kind in (3, 4):
        choices = (*SIDES, *range(10), 16, 24, 32, 64, 32773, 34712, 50000, ifd, len(data) - 1)
        new = int(rng.choice(choices))
        short = data[at + 2 : at + 4] in (b"\3\0", b"\0\3")
        value = (
            struct.pack(order + "HH", new & 0xFFFF, 0) if short else struct.pack(order + "I", new)
        )
        out[at + 8 : at + 12] = value
        what = f"value of tag {tag} {new}"
    elif kind == 5:
        end = ifd + 2 + 12 * count
        new = int(rng.choice([ifd, end, 8, 4, len(data) - 2, 2**32 - 1]))
        out[end : end + 4] = struct.pack(order + "I", new)
        what = f"next page at {new}"
    else:
        new = int(rng.choice([0, 1, count - 1, count + 1, 255, 65_535]))
        out[ifd : ifd + 2] = struct.pack(order + "H", new)
        what = f"{new} tags for {count}"
    return bytes(out), what
