"""Damage that fits any file: bits, bytes, cuts and blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ODD_BYTES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
ODD_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 17, 32, 255, 256, 4096, 32767, 65535)


def pick(rng: np.random.Generator, values: Sequence[Any]) -> Any:
    """One of the values; ``rng.choice`` would make one array of them."""
    return values[int(rng.integers(len(values)))]


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    out = np.frombuffer(data, np.uint8).copy()
    for _ in range(int(rng.choice([1, 1, 2, 4, 16, 64]))):
        out[place(data, rng)] ^= np.uint8(1 << int(rng.integers(8)))
    return out.tobytes()


def set_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(data)
    for _ in range(int(rng.choice([1, 2, 4]))):
        out[place(data, rng)] = int(rng.choice(ODD_BYTES))
    return bytes(out)


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    keep = place(data, rng) if rng.random() < 0.5 else int(rng.integers(len(data)))
    return data[:keep]


def cut_little(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: max(0, len(data) - int(rng.integers(1, 200)))]


def cut_front(data: bytes, rng: np.random.Generator) -> bytes:
    return data[int(rng.integers(1, 64)) :]


def remove_block(data: bytes, rng: np.random.Generator) -> bytes:
    start, size = place(data, rng), int(rng.choice([1, 2, 4, 16, 512, 4096]))
    return data[:start] + data[start + size :]


def repeat_block(data: bytes, rng: np.random.Generator) -> bytes:
    start, size = place(data, rng), int(rng.choice([1, 2, 4, 16, 512, 4096]))
    return data[: start + size] + data[start:]


def swap_blocks(data: bytes, rng: np.random.Generator) -> bytes:
    size = min(int(rng.choice([4, 16, 64, 512, 4096])), len(data) // 2)
    one, other = sorted(int(n) for n in rng.integers(0, len(data) - size + 1, 2))
    if other < one + size:
        other = one + size
    if other + size > len(data):
        return data[::-1]
    middle = data[one + size : other]
    rest = data[other + size :]
    return data[:one] + data[other : other + size] + middle + data[one : one + size] + rest


def fill_block(data: bytes, rng: np.random.Generator) -> bytes:
    start, size = place(data, rng), int(rng.choice([4, 16, 64, 512, 4096]))
    size = min(size, len(data) - start)
    kind = rng.integers(3)
    block = rng.bytes(size) if kind == 0 else bytes([0xFF if kind == 1 else 0]) * size
    return data[:start] + block + data[start + size :]


def set_number(data: bytes, rng: np.random.Generator) -> bytes:
    """An odd number over two, four or eight bytes, where lengths and offsets may stand."""
    size = int(rng.choice([2, 4, 8]))
    start = place(data, rng)
    limit = 1 << (8 * size)
    number = pick(rng, (0, 1, limit - 1, limit // 2, limit // 2 - 1, limit // 16))
    order = "little" if rng.random() < 0.5 else "big"
    return data[:start] + number.to_bytes(size, order) + data[start + size :]  # type: ignore[arg-type]


def append(data: bytes, rng: np.random.Generator) -> bytes:
    tail = (bytes(5000), rng.bytes(5000), data, b"\n" * 100)
    return data + pick(rng, tail)


ANY = (
    flip_bits,
    set_bytes,
    cut,
    cut_little,
    cut_front,
    remove_block,
    repeat_block,
    swap_blocks,
    fill_block,
    set_number,
    append,
)


def place(data: bytes, rng: np.random.Generator) -> int:
    """A position, in every second draw among the first 600 bytes, where headers are."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 600)
    return int(rng.integers(end)) if end else 0


def spoil_any(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """The bytes with one or two kinds of damage, and their names."""
    names = []
    for _ in range(1 if rng.random() < 0.8 else 2):
        if len(data) < 2:
            break
        change = pick(rng, ANY)
        data = change(data, rng)
        names.append(change.__name__)
    return data, "+".join(names)
