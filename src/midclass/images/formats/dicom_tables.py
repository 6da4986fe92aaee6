"""Lookup tables: of modality and VOI (PS3.3 C.11.1.1 and C.11.2.1.1), and palettes (C.7.6.3.1.5).

Entries may have 8 bits in bytes, 8 bits in words, or up to 16 bits in words: the length of the data
tells, and if it fits to none of them the table is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from midclass.images.formats.dicom_attributes import Dataset, Unusable, numbers
from midclass.images.formats.raw import Values

DISCRETE, LINEAR, INDIRECT = range(3)
"""Kinds of segments, PS3.3 table C.7-24."""


@dataclass(frozen=True)
class Table:
    """A lookup table.

    Attributes:
        first: the value that becomes the first entry, as all below it do.
        entries: the table; what lies above it becomes the last.
        bits: of the entries, of which the highest value is white.
    """

    first: int
    entries: NDArray[np.uint16]
    bits: int

    def of(self, values: Values) -> NDArray[np.uint16]:
        """The entries that belong to values; these are rounded to integers first."""
        whole = values if values.dtype.kind in "iu" else np.rint(values)
        index = np.clip(whole.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        return self.entries[index]


def table_of(item: Dataset, little: bool, signed: bool) -> Table:
    """The table of a Modality LUT Sequence or VOI LUT Sequence.

    Args:
        item: of the sequence.
        little: whether the file is little endian.
        signed: whether the values that go in can be negative, as the first value mapped then is.

    Raises:
        Unusable: descriptor and data do not fit together.
    """
    count, first, bits = _descriptor(item, "LUTDescriptor", signed)
    entries, in_bytes = _entries(item, "LUTData", count, bits, little)
    return Table(first, entries, 8 if in_bytes else _real_bits(entries, bits))


def palette_of(dataset: Dataset, little: bool, signed: bool) -> tuple[list[Table], int]:
    """The tables of red, green and blue, and the bits of their entries.

    Raises:
        Unusable: a table is missing, or descriptors and data do not fit together.
    """
    tables, declared, packed = [], set(), False
    for colour in ("Red", "Green", "Blue"):
        name = f"{colour}PaletteColorLookupTable"
        count, first, bits = _descriptor(dataset, f"{name}Descriptor", signed)
        if f"{name}Data" in dataset:
            entries, packed = _entries(dataset, f"{name}Data", count, bits, little)
        else:
            entries = _expanded(dataset, f"Segmented{name}Data", count, bits, little)
        tables.append(Table(first, entries, bits))
        declared.add(8 if packed else bits)
    if len(declared) > 1:
        raise Unusable("RedPaletteColorLookupTableDescriptor has other bits than green or blue")
    bits = declared.pop()
    highest = max(int(table.entries.max()) for table in tables)
    return tables, 8 if highest < 256 else bits  # 16 bits must be filled, but not all writers do


def _descriptor(item: Dataset, keyword: str, signed: bool) -> tuple[int, int, int]:
    """Number of entries, first value mapped and bits of an entry."""
    values = numbers(item, keyword)
    if len(values) != 3:
        raise Unusable(f"{keyword} has {len(values)} values, expected 3")
    count, first, bits = (int(value) % 2**16 for value in values)
    # In implicit VR, and from some writers, the sign has to be known from elsewhere.
    if values[1] < 0 or (signed and first >= 2**15):
        first -= 2**16
    if not 8 <= bits <= 16:
        raise Unusable(f"{keyword} says {bits} bits an entry, expected 8 to 16")
    return count or 2**16, first, bits


def _entries(
    item: Dataset, keyword: str, count: int, bits: int, little: bool
) -> tuple[NDArray[np.uint16], bool]:
    """The entries, and whether each takes but a byte."""
    data = _bytes(item, keyword, little)
    if len(data) == 2 * count:
        entries = np.frombuffer(data, "<u2").astype(np.uint16)
        packed = False
    elif len(data) == count + count % 2:
        entries = np.frombuffer(data, np.uint8)[:count].astype(np.uint16)
        packed = True
    else:
        raise Unusable(
            f"{keyword} has {len(data)} bytes, but its descriptor says {count} entries of "
            f"{bits} bits"
        )
    if int(entries.max()) >= 2**bits:
        raise Unusable(
            f"{keyword} holds {int(entries.max())}, but its descriptor says {bits} bits an entry"
        )
    return entries, packed


def _bytes(item: Dataset, keyword: str, little: bool) -> bytes:
    """The data of a table in little-endian words; bytes of a word of two 8-bit entries in order."""
    if keyword not in item:
        raise Unusable(f"{keyword} is missing")
    try:
        element = item[keyword]
    except Exception:  # pydicom's words may quote the header
        raise Unusable(f"{keyword} is damaged") from None
    value: Any = element.value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if little or element.VR != "OW":
            return data
        return np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    values = [value] if isinstance(value, int) else list(value or ())
    return (np.array(values, np.int64) % 2**16).astype("<u2").tobytes()


def _real_bits(entries: NDArray[np.uint16], bits: int) -> int:
    """The bits of the entries; some writers say 16 of a table that holds 12.

    They are believed to unless the highest entry is the highest of fewer bits, or a sixteenth of
    the scale or less, which no table for display would leave unused.
    """
    needed = int(entries.max()).bit_length()
    fills = int(entries.max()) == 2**needed - 1
    return needed if bits == 16 and needed >= 8 and (fills or needed <= 12) else bits


def _expanded(
    dataset: Dataset, keyword: str, count: int, bits: int, little: bool
) -> NDArray[np.uint16]:
    """The entries of a segmented palette (PS3.3 C.7.9.2)."""
    data = _bytes(dataset, keyword, little)
    width = 1 if bits == 8 else 2
    words = np.frombuffer(data[: len(data) // width * width], f"<u{width}").tolist()
    entries: list[int] = []
    _expand(words, 0, len(words), entries, count, bits == 8)
    if len(entries) != count:
        raise Unusable(f"{keyword} unfolds to {len(entries)} entries, its descriptor says {count}")
    return cast("NDArray[np.uint16]", np.array(entries, np.uint16))


def _expand(
    words: list[int], at: int, most: int, entries: list[int], count: int, packed: bool
) -> None:
    """Append the entries of so many segments at most; a word of padding may remain."""
    segments = 0
    while at + 2 < len(words) and segments < most and len(entries) < count:
        kind, length = words[at : at + 2]
        if kind == DISCRETE:
            entries += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif kind == LINEAR and entries:
            steps = np.linspace(entries[-1], words[at + 2], length + 1)[1:]
            entries += np.rint(steps).astype(int).tolist()
            at += 3
        elif kind == INDIRECT and most == len(words):
            # The offset has 32 bits, low word first, in bytes from the beginning of the data.
            low, size = words[at + 2 : at + (6 if packed else 4)], 8 if packed else 16
            start = sum(part << (size * k) for k, part in enumerate(low))
            _expand(words, start if packed else start // 2, length, entries, count, packed)
            at += 6 if packed else 4
        else:
            raise Unusable(f"a segmented palette has a segment of kind {kind} where none can be")
        segments += 1
    del entries[count:]
